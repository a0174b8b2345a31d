#!/usr/bin/env python
"""Count parameters and multiply-accumulates, as ``mmtsf flops`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('flops')
