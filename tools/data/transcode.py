#!/usr/bin/env python
"""Rewrite videos for fast random access in training, as ``mmtsf transcode`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('transcode')
