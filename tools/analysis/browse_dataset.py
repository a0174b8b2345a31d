#!/usr/bin/env python
"""Draw the clips that a data pipeline returns, as ``mmtsf browse`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('browse')
