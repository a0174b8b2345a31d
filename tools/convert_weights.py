#!/usr/bin/env python
"""Convert weights between formats, as ``mmtsf convert`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('convert')
