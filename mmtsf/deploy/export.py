"""Models for other runtimes: ONNX, torch.export, int8."""

import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.models import BaseRecognizer
from torch import Tensor, nn

from mmtsf.compat import without_torchvision_warning
from mmtsf.models.adapters import merge_adapters
from mmtsf.registry import DATASETS

from .fuse import fuse_backbone

#: Axes of clips (B, 3, T, H, W) that an export may leave open, and their names
DYNAMIC_AXES = {0: 'batch', 2: 'frames', 3: 'height', 4: 'width'}

#: Logits of an export may differ by this much
TOLERANCE = 1e-4
#: Clips on which int8 is compared
MOST_CLIPS = 100


class ClipClassifier(nn.Module):
    """A recognizer as one function from clips to logits, its backbone fused for inference.

    Args:
        recognizer (nn.Module): MMAction2's recognizer with backbone, head and data preprocessor.
        normalises (bool): Whether clips come as uint8 frames and are normalised inside, by the patch embedding's
            weights. Defaults to False.
    """

    def __init__(self, recognizer: Any, normalises: bool = False) -> None:
        super().__init__()
        merge_adapters(recognizer)
        self.backbone = recognizer.backbone
        self.cls_head = recognizer.cls_head
        self.normalises = normalises
        self.swaps_colours = normalises and recognizer.data_preprocessor.to_rgb  # of a model that takes BGR
        self.mean = recognizer.data_preprocessor.mean.clone()
        self.std = recognizer.data_preprocessor.std.clone()
        # int8 cannot take products of two weights in a graph
        fuse_backbone(self.backbone, *(self.mean.flatten(), self.std.flatten()) if normalises else ())

    def forward(self, clips: Tensor) -> Tensor:
        """Logits ``(B, K)`` of clips ``(B, 3, T, H, W)``: normalised floats, or uint8 RGB."""
        return self.cls_head(self.backbone(clips.flip(1) if self.swaps_colours else clips))

    def example(self, batch: int, num_frames: int, height: int, width: int) -> Tensor:
        """Random clips of the kind that it takes."""
        clips = torch.randint(0, 256, (batch, 3, num_frames, height, width), dtype=torch.uint8)
        return clips if self.normalises else (clips.float() - self.mean) / self.std


def write_export(
    recognizer: BaseRecognizer,
    out: Path,
    form: str = 'onnx',
    dynamic: bool = False,
    normalises: bool = False,
    int8: bool = False,
) -> Iterator[str]:
    """Export a recognizer, and write the file if its outputs are the recognizer's.

    Args:
        recognizer (BaseRecognizer): From :func:`mmtsf.apis.init_recognizer`, on the CPU; it is fused.
        out (Path): File to write.
        form (str): ``'onnx'``, or ``'torch'`` for ``torch.export``. Defaults to ``'onnx'``.
        dynamic (bool): Whether frames, height and width are open, as the batch always is. Defaults to False.
        normalises (bool): Whether it takes uint8 frames. Defaults to False.
        int8 (bool): Whether weights are quantised, and compared on clips of the validation set. Defaults to False.

    Raises:
        RuntimeError: If the outputs differ; nothing is written then.

    Yields:
        str: What was compared and written.
    """
    model = ClipClassifier(recognizer, normalises).eval()
    examples = _examples(model, recognizer.cfg.model.backbone, dynamic)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        part = Path(folder, out.name)
        (export_onnx if form == 'onnx' else export_torch)(model, examples[0], part, dynamic)
        difference = largest_difference(model, exported(part, form), examples)
        sizes = ', '.join('x'.join(map(str, clips.shape)) for clips in examples)
        yield f'largest difference of logits {difference:.1e} on clips {sizes}'
        if not difference <= TOLERANCE:
            raise RuntimeError(
                f'the export differs by {difference:.1e}, more than {TOLERANCE:.0e}; nothing was written'
            )
        if int8:
            part, words = _as_int8(model, part, DATASETS.build(recognizer.cfg.val_dataloader.dataset))
            yield words
        for file in part.parent.glob(f'{part.name}*'):  # weights of a large model lie in a second file
            file.replace(out.with_name(file.name.replace(part.name, out.name)))


def _examples(model: ClipClassifier, backbone: dict, dynamic: bool) -> list[Tensor]:
    """Make clips of the model's own size, of another batch, and with ``dynamic`` of other frames and sizes."""
    size, patch = backbone['img_size'], backbone['patch_size']
    height, width = (size, size) if isinstance(size, int) else size
    frames = backbone['num_frames']
    examples = [model.example(2, frames, height, width), model.example(3, frames, height, width)]
    if dynamic:
        examples.append(model.example(1, 2 * frames, height + 2 * patch, width))
    return examples


def _as_int8(model: ClipClassifier, path: Path, dataset: Any) -> tuple[Path, str]:
    """Quantise to int8; return the file, and agreement and speed on real clips in words."""
    target = path.with_name(f'int8-{path.name}')
    quantize(path, target)
    step = max(len(dataset) // MOST_CLIPS, 1)
    samples = [dataset[index]['inputs'] for index in range(0, len(dataset), step)]
    clips = [view.byte() if model.normalises else (view.float() - model.mean) / model.std for view in samples]
    batches = [torch.cat(clips[first : first + 4]) for first in range(0, len(clips), 4)]
    agreement, faster = compare(OnnxClassifier(path), OnnxClassifier(target), batches)
    words = f'the same top-1 on {agreement:.1%} of {len(clips)} real clips, {faster:.2f} times as fast as fp32'
    return target, f'int8: {words}'


@torch.no_grad()
def export_onnx(model: ClipClassifier, clips: Tensor, path: Path, dynamic: bool = False) -> None:
    """Write ``path`` as ONNX, with input ``clips`` and output ``logits``.

    Args:
        model (ClipClassifier): The model, in eval mode.
        clips (Tensor): Example; the batch is always open.
        path (Path): File to write; weights beyond ONNX's 2 GB lie beside it.
        dynamic (bool): Whether frames, height and width are open, too. Defaults to False.
    """
    with warnings.catch_warnings(), without_torchvision_warning():
        warnings.simplefilter('ignore')
        program = torch.onnx.export(
            model,
            (clips,),
            dynamo=True,
            dynamic_shapes=_dynamic_shapes(dynamic),
            input_names=['clips'],
            output_names=['logits'],
            verbose=False,
        )
        assert program is not None
        program.save(path)


@torch.no_grad()
def export_torch(model: ClipClassifier, clips: Tensor, path: Path, dynamic: bool = False) -> None:
    """Write ``path`` as a ``torch.export`` program, to be loaded by :func:`torch.export.load`."""
    torch.export.save(torch.export.export(model, (clips,), dynamic_shapes=_dynamic_shapes(dynamic)), path)


def quantize(path: Path, target: Path) -> None:
    """Write an ONNX model with int8 weights; activations are quantised as they come (dynamic quantisation)."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(path)
    del model.graph.value_info[:]  # the exporter's shapes are of transposed weights; they are inferred anew
    quantize_dynamic(model, target, weight_type=QuantType.QInt8, per_channel=True)


class OnnxClassifier:
    """An ONNX file as a function from clips to logits, on the CPU.

    Args:
        path (Path): The file.
        threads (int): Threads of onnxruntime. Defaults to 0: as it likes.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])

    def __call__(self, clips: Tensor) -> Tensor:
        """Logits ``(B, K)``."""
        return torch.from_numpy(self.session.run(None, dict(clips=clips.numpy()))[0])


def exported(path: Path, form: str) -> 'OnnxClassifier | nn.Module':
    """An exported file as a function from clips to logits."""
    return OnnxClassifier(path) if form == 'onnx' else torch.export.load(path).module()


@torch.no_grad()
def largest_difference(ours, theirs, examples: Sequence[Tensor]) -> float:
    """Largest absolute difference of two functions' logits."""
    return max(float((ours(clips) - theirs(clips)).abs().max()) for clips in examples)


@torch.no_grad()
def compare(ours, theirs, batches: Sequence[Tensor], rounds: int = 5) -> tuple[float, float]:
    """Share of clips with the same top-1, and how many times faster ``theirs`` is: medians of interleaved rounds."""
    same = [ours(clips).argmax(1) == theirs(clips).argmax(1) for clips in batches]
    times: dict[str, list[float]] = {'ours': [], 'theirs': []}
    for _ in range(rounds):
        for name, function in (('ours', ours), ('theirs', theirs)):
            start = time.perf_counter()
            function(batches[0])
            times[name].append(time.perf_counter() - start)
    agreement = float(np.mean(torch.cat(same).numpy()))
    return agreement, statistics.median(times['ours']) / statistics.median(times['theirs'])


def _dynamic_shapes(dynamic: bool) -> tuple[dict]:
    open_axes = dict.fromkeys(DYNAMIC_AXES, torch.export.Dim.DYNAMIC)
    return (open_axes if dynamic else {0: torch.export.Dim('batch')},)
