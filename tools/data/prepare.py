#!/usr/bin/env python
"""Write annotation lists of a data set of the paper, as ``mmtsf prepare`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('prepare')
