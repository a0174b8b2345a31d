#!/usr/bin/env python
"""Write an HTML report of a test, as ``mmtsf report`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('report')
