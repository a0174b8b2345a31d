"""Help and mistakes are answered before anything heavy is imported."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runs import ROOT, TINY

from mmtsf.apis.features import LEVELS
from mmtsf.datasets.decoders import DECODERS
from mmtsf.preparation import FORMATS
from mmtsf.weights import load, write
from mmtsf.weights.origins import ORIGINS

#: Tools that are started by name, and are no parts of others
TOOLS = sorted(
    str(path.relative_to(ROOT)) for path in ROOT.glob('tools/**/*.py') if path.read_text().startswith('#!/usr/bin/env')
)
SECONDS = 1.0  # of a processor
NO_CONFIG, NO_CHECKPOINT = 'the config none.py does not exist', 'the checkpoint none.pth does not exist'
#: Tool and words, of which one names what is not there or cannot be written; what is said
MISTAKES = [
    ('train.py none.py', NO_CONFIG),
    ('train.py {c} --resume none.pth', NO_CHECKPOINT),
    ('train.py {c} --work-dir {v}/run', 'video.mp4 is a file, expected the name of a folder'),
    ('train.py {c} --cfg-options lr', "--cfg-options is given 'lr', expected KEY=VALUE"),
    ('test.py none.py {k}', NO_CONFIG),
    ('test.py {c} none.pth', NO_CHECKPOINT),
    ('test.py {c} {k} --work-dir {v}', 'which is a file, expected the name of a folder'),
    ('test.py {c} {k} --dump /proc/none/x.pkl', 'which cannot be written'),
    ('predict.py none.mp4 {c} {k}', 'none.mp4 is no file or folder, and as a pattern it matches none'),
    ('predict.py {v} none.py {k}', NO_CONFIG),
    ('predict.py {v} {c} none.pth', NO_CHECKPOINT),
    ('predict.py {c} {v} {k}', 'timesformer_tiny_motion.py, which is a config; expected a video'),
    ('predict.py {v} {k} {c}', 'tiny.pth, which is a checkpoint; expected a config file (.py), and then CHECKPOINT'),
    ('predict.py {v} {c}', 'timesformer_tiny_motion.py, which is a config; expected weights'),
    ('predict.py {v} {v} {k}', 'video.mp4, which is a video; expected a config file'),
    ('predict.py README.md {c} {k}', 'the input is README.md, which is text; expected a video'),
    ('predict.py {v} {k}', 'one that is not named is taken only from work_dirs/RUN'),
    ('predict.py {v} {c} {k} --csv {t}/none/x.csv', 'but there is no folder'),
    ('predict.py {v} {c} {k} --seconds nan', "--seconds: invalid float above 0 value: 'nan'"),
    ('predict.py {v} {c} {k} --device gpu', "'gpu' is no device; expected cpu, cuda or cuda:NUMBER"),
    ('predict.py {v} {c} {g}/text.pth', 'is not a checkpoint but text'),
    ('train.py {g}/wrong.py', 'was never closed ('),
    ('extract_features.py none.txt {c} {k} {t}/x.npy', 'none.txt does not exist; give an annotation list'),
    ('extract_features.py {v} none.py {k} {t}/x.npy', NO_CONFIG),
    ('extract_features.py {c} {v} {k} {t}/x.npy', 'the input is configs/timesformer_tiny_motion.py, which is a config'),
    ('extract_features.py {v} {c} none.pth {t}/x.npy', NO_CHECKPOINT),
    ('extract_features.py {v} {c} {k} {t}/none/x.npy', 'but there is no folder'),
    ('extract_features.py {v} {c} {k} {t}/x.npy --root none', '--root is none, which is no folder'),
    ('convert_weights.py none.pth {t}/x.pth', NO_CHECKPOINT),
    ('convert_weights.py {k} {t}/none/x.pth', 'but there is no folder'),
    ('convert_weights.py {k} {t}/x.pth --config none.py', NO_CONFIG),
    ('export.py none.py {k} {t}/x.onnx', NO_CONFIG),
    ('export.py {c} none.pth {t}/x.onnx', NO_CHECKPOINT),
    ('export.py {c} {k} {t}/x.xyz', 'expected a name that ends in .onnx, or --format torch for .pt2'),
    ('export.py {c} {k} {v}/x.onnx', 'which is a file, expected the name of a folder'),
    ('demo_web.py none.py {k}', NO_CONFIG),
    ('demo_web.py {c} none.pth', NO_CHECKPOINT),
    ('demo_web.py {c} {k} --samples none', 'none does not exist; give a video, or a folder of videos'),
    ('quickstart.py --data none', 'none is not a folder of class folders'),
    ('quickstart.py --out {v}', 'which is a file, expected the name of a folder'),
    ('torchrun.py none.py', 'none.py does not exist; give the tool to run'),
    ('analysis/analyze_results.py none {t}/x.html', 'predictions.csv does not exist'),
    ('analysis/browse_dataset.py none.py {t}/x.png', NO_CONFIG),
    ('analysis/browse_dataset.py {c} {t}/none/x.png', 'but there is no folder'),
    ('analysis/get_flops.py none.py', NO_CONFIG),
    ('analysis/inference_time.py none.py {k}', NO_CONFIG),
    ('analysis/inference_time.py {k} {c}', 'tiny.pth, which is a checkpoint; expected a config file'),
    ('analysis/inference_time.py {c} {k} --limit 0', '--limit 0, expected at least 1'),
    ('analysis/plot_temporal_clips.py {c} none.pth {t}/x.png', NO_CHECKPOINT),
    ('analysis/plot_temporal_clips.py {c} {k} {t}/none/x.png', 'but there is no folder'),
    ('analysis/plot_temporal_clips.py {c} {k} {t}/x.pdf', 'expected a name that ends in .png'),
    ('analysis/plot_temporal_clips.py {c} {k} {t}/x.png --cfg-options view=1x3', 'has view=1x3, which this tool sets'),
    ('analysis/plot_tsne.py {t}/x.png none.npy', 'none.npy does not exist; give a file of tools/extract_features.py'),
    ('analysis/plot_tsne.py {t}/x.png {v}', 'expected a name that ends in .npy or .safetensors or .parquet'),
    ('analysis/make_zoo.py {t}/none/x.md', 'but there is no folder'),
    ('analysis/visualize_attention.py none.mp4 {c} {k} {t}/x.png', 'none.mp4 does not exist; give a video file'),
    ('analysis/visualize_attention.py {v} none.py {k} {t}/x.png', NO_CONFIG),
    ('analysis/visualize_attention.py {v} {c} none.pth {t}/x.png', NO_CHECKPOINT),
    ('analysis/visualize_attention.py {v} {c} {k} {t}/none/x.png', 'but there is no folder'),
    ('data/check_videos.py none', 'none does not exist; give a folder of videos or an annotation list'),
    ('data/check_videos.py {g}/empty', 'is an empty folder; give one that holds videos'),
    ('data/check_videos.py {k}', 'tiny.pth, which is a checkpoint; expected an annotation list'),
    ('data/check_videos.py {t} --out {v}', 'which is a file, expected the name of a folder'),
    ('data/make_motion.py {v}', 'which is a file, expected the name of a folder'),
    ('data/prepare.py ssv2 --videos none --annotations {v} --out {t}/x', 'none is no folder'),
    ('data/prepare.py ssv2 --videos {t} --annotations none --out {t}/x', 'none is no file'),
    ('data/prepare.py ssv2 --videos {t} --annotations {v} --out {v}', 'which is a file, expected the name of a folder'),
    ('data/transcode.py none {t}/x', 'none does not exist; give a folder of videos or an annotation list'),
    ('data/transcode.py {v} {v}/x', 'lie in each other'),
    ('misc/print_config.py none.py', NO_CONFIG),
    ('study/study.py {v}', 'which is a file, expected the name of a folder'),
    ('study/study.py {t}/x --data a=none', 'but there is no folder none/train'),
    ('study/starts.py {t}/x --data a=none', "'a=none', expected NAME=TRAIN_LIST,TEST_LIST,EPOCHS"),
    ('study/starts.py {t}/x --data a=b,c,3 --images none', 'none/train-images-idx3-ubyte.gz does not exist'),
]


def answer(words: list[str]) -> tuple[int, str, float]:
    """Exit code of a command, what it prints, and seconds of the processor that it took."""
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, printed, usage.ru_utime + usage.ru_stime


#: Takes lines with the words of a tool, as JSON, and answers each with what :func:`answer` tells of it: it is run by a
#: process that is forked from one in which nothing heavy is imported
FORK = """
import json, os, runpy, sys, tempfile
import mmtsf.commands
assert not {'mmengine', 'torch'} & set(sys.modules)
for line in sys.stdin:
    output = tempfile.TemporaryFile()
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        sys.argv = json.loads(line)
        sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
        runpy.run_path(sys.argv[0], run_name='__main__')
        sys.exit()
    _, status, usage = os.wait4(process, 0)
    output.seek(0)
    seconds = usage.ru_utime + usage.ru_stime
    print(json.dumps([os.waitstatus_to_exitcode(status), output.read().decode(), seconds]), flush=True)
"""


@pytest.fixture(scope='module')
def answer_soon() -> Iterator[Callable]:
    """What :func:`answer` tells of a tool, without a Python that starts for it."""
    with subprocess.Popen(
        [sys.executable, '-c', FORK], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def answer(words: list[str]) -> list:
            process.stdin.write(json.dumps(words) + '\n')
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield answer


@pytest.fixture(scope='module')
def given(tmp_path_factory) -> Path:
    """A folder with what is no checkpoint, no config and no folder of videos."""
    folder = tmp_path_factory.mktemp('given')
    (folder / 'empty').mkdir()
    for name in ('text.pth', 'wrong.py'):
        (folder / name).write_text('x = (\n')
    return folder


@pytest.mark.parametrize('tool', TOOLS)
def test_help_and_a_wrong_option_take_no_second(tool, answer_soon):
    code, printed, seconds = answer([sys.executable, tool, '--help'])
    assert code == 0
    assert printed.startswith('usage: ')
    assert seconds < SECONDS
    code, printed, seconds = answer_soon([tool, '--none'])
    assert code == 2
    assert re.fullmatch(r'.*error: .* \(see --help\)\n', printed)
    assert seconds < SECONDS


@pytest.mark.parametrize(('words', 'said'), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_a_wrong_path_takes_no_second_and_is_one_line(words, said, tiny_checkpoint, given, tmp_path, answer_soon):
    video = tmp_path / 'video.mp4'
    video.touch()
    tool, *rest = words.format(c=TINY, k=tiny_checkpoint, t=tmp_path, v=video, g=given).split()
    code, printed, seconds = answer_soon([f'tools/{tool}', *rest])
    assert code == 2
    assert said in printed.splitlines()[-1]
    assert 'Traceback' not in printed
    assert seconds < SECONDS
    assert list(tmp_path.iterdir()) == [video]


def test_a_video_is_classified_within_4_seconds_of_the_processor(motion, tiny_checkpoint):
    """On a slow machine, within what PyTorch alone takes there and as much again."""
    torch_alone = answer([sys.executable, '-c', 'import torch'])[2]
    code, printed, seconds = answer(
        [sys.executable, '-m', 'mmtsf', 'predict', f'{motion}/test/left/0000.mp4', TINY, str(tiny_checkpoint)]
    )
    assert code == 0
    assert re.fullmatch(r'\S+/left/0000\.mp4: \w+ \d+%(, \w+ \d+%){3}\n', printed)
    assert seconds < max(4.0, 2 * torch_alone)


def test_a_command_tells_nothing_of_products_that_it_has_not():
    """bitsandbytes, which MMEngine imports, logs a warning about those of 4 bits; a program that imports us sees it."""
    told = 'import logging; {}; logging.getLogger("bitsandbytes.backends.cpu.ops").warning("Failed to load")'
    for before, printed in (('import mmtsf.utils.screen', 'Failed to load\n'), ('screen.silence()', '')):
        words = told.format(f'from mmtsf.utils import screen; {before}')
        assert answer([sys.executable, '-c', words])[:2] == (0, printed)


def test_a_training_imports_packages_of_optimizers_when_its_config_names_one():
    words = """
import sys, types, torch
from mmtsf.utils.imports import for_training
with for_training():
    from mmtsf.registry import OPTIMIZERS
assert OPTIMIZERS.get('AdamW').__module__.startswith('torch.')
print(OPTIMIZERS.get('AdamW8bit').__module__, *{'transformers', 'bitsandbytes'} & set(sys.modules))
sys.modules['bitsandbytes'] = None  # the real ones take seconds to import
sys.modules['transformers'] = types.SimpleNamespace(Adafactor=torch.optim.Adafactor)
print(OPTIMIZERS.get('Adafactor') is torch.optim.Adafactor, OPTIMIZERS.get('Adafaktor'))
"""
    code, printed, _ = answer([sys.executable, '-c', words])
    first, last = printed.splitlines()[:1], printed.splitlines()[-1]
    assert code == 0
    assert first == ['mmtsf.engine.optimizers.low_memory']
    assert last == 'True None'


@pytest.mark.parametrize('words', ['dist_train.sh none.py 2', 'dist_test.sh none.py none.pth 2'])
def test_mistakes_are_told_once_before_processes_are_started(words):
    code, printed, seconds = answer(['env', f'PYTHON={sys.executable}', 'bash', *f'tools/{words}'.split()])
    assert code == 2
    assert printed.count(NO_CONFIG) == 1
    assert seconds < SECONDS


def test_every_tool_is_told_a_wrong_path():
    assert {f'tools/{words.split()[0]}' for words, _ in MISTAKES} == set(TOOLS)


def test_words_of_the_tools_are_those_of_the_tables():
    helps = {name: answer([sys.executable, f'tools/{name}.py', '--help'])[1] for name in WORDS}
    for name, tables in WORDS.items():
        for words in tables:
            assert '{' + ','.join(words) + '}' in ''.join(helps[name].split()), name


#: Without those that a test has added
OURS = sorted(name for name, reader in DECODERS.items() if reader.__module__.startswith('mmtsf.'))
WORDS = {
    'convert_weights': [['mmtsf', *ORIGINS], write.FORMATS, load.RESIZES, load.ADDED_STEPS],
    'extract_features': [LEVELS],
    'data/prepare': [FORMATS, OURS],
    'data/check_videos': [OURS],
}
