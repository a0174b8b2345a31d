#!/usr/bin/env python
"""Train a model, as ``mmtsf train`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('train')
