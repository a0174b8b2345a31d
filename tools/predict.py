#!/usr/bin/env python
"""Classify videos, as ``mmtsf predict`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('predict')
