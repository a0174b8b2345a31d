#!/usr/bin/env python
"""Draw where a model looks in a video, as ``mmtsf attention`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('attention')
