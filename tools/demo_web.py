#!/usr/bin/env python
"""Serve a web page that classifies videos, as ``mmtsf demo`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('demo')
