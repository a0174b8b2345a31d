#!/usr/bin/env python
"""Compare speed and predictions of int8 (onnxruntime, torchao) with float32 PyTorch on the CPU.

python benchmarks/int8.py configs/timesformer_base_k400.py
"""

import argparse
import logging
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from timing import medians
from torch import Tensor

from mmtsf.config import load_config
from mmtsf.deploy.export import ClipClassifier, OnnxClassifier, export_onnx, quantize
from mmtsf.registry import MODELS


def torchao_int8(model: ClipClassifier) -> Callable[[Tensor], Tensor]:
    """Quantise the model with torchao and compile it, which torchao needs to be fast."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    quantize_(model, Int8DynamicActivationInt8WeightConfig())
    return torch.compile(model)


def classifier(path: str) -> ClipClassifier:
    """Build a config's model with random weights from a fixed seed."""
    torch.manual_seed(0)
    recognizer = MODELS.build(load_config(path, dict(start=None)).model)
    recognizer.init_weights()
    for name, parameter in recognizer.named_parameters():
        if name.endswith('temporal_fc.weight'):
            torch.nn.init.trunc_normal_(parameter, std=0.02)
    return ClipClassifier(recognizer.eval()).eval()


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('--rounds', type=int, default=9)
    args = parser.parse_args()
    logging.disable(logging.INFO)
    init_default_scope('mmtsf')
    model = classifier(args.config)
    geometry = load_config(args.config).model.backbone
    clips = model.example(1, geometry.num_frames, geometry.img_size, geometry.img_size)
    with tempfile.TemporaryDirectory() as folder:
        fp32, int8 = Path(folder, 'fp32.onnx'), Path(folder, 'int8.onnx')
        export_onnx(model, clips, fp32)
        quantize(fp32, int8)
        functions = {
            'PyTorch fp32': model,
            'onnxruntime fp32': OnnxClassifier(fp32),
            'onnxruntime int8': OnnxClassifier(int8),
        }
        try:
            functions['torchao int8, compiled'] = torchao_int8(classifier(args.config))
        except ImportError:
            print('torchao is not installed, and left out')
        expected = model(clips)
        apart = {
            name: float((function(clips) - expected).norm() / expected.norm()) for name, function in functions.items()
        }
        seconds = medians({name: partial(function, clips) for name, function in functions.items()}, args.rounds)
    reference = seconds['PyTorch fp32']
    for name, median in seconds.items():
        print(f'{name:24} {median:7.3f} s  {reference / median:5.2f} x  logits apart {apart[name]:.1e} of their norm')


if __name__ == '__main__':
    main()
