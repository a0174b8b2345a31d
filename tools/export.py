#!/usr/bin/env python
"""Export a model to ONNX or torch.export, as ``mmtsf export`` does."""

from mmtsf.commands import run

if __name__ == '__main__':
    run('export')
