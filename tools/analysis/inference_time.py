#!/usr/bin/env python
"""Measure the time of testing over a list, as ``mmtsf speed`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('speed')
