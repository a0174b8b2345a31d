#!/usr/bin/env python
"""Write a small data set of generated videos, as ``mmtsf motion`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('motion')
