#!/usr/bin/env python
"""Train, test and draw within a few minutes, as ``mmtsf quickstart`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('quickstart')
