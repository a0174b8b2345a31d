#!/usr/bin/env python
"""Print a resolved config, and where each value comes from, as ``mmtsf config`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('config')
