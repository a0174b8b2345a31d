#!/usr/bin/env python
"""Test a model, as ``mmtsf test`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('test')
