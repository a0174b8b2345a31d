#!/usr/bin/env python
"""Write features of videos to one file, as ``mmtsf features`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('features')
