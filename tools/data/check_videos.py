#!/usr/bin/env python
"""Find the videos that cannot be read, as ``mmtsf check`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('check')
