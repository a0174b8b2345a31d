"""Features on disk: every video once, whatever happens on the way."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from runs import ROOT, TINY, free_port, run_tool
from safetensors.numpy import load_file

from mmtsf.apis import build_pipeline, extract, to_sample

TOOL = 'tools/extract_features.py'


def extract_to(out: Path, videos: Path, checkpoint: Path, *more: str) -> str:
    return run_tool(TOOL, videos, TINY, checkpoint, out, *more)


def test_rows_are_the_features_of_the_videos_in_their_order(motion, model, tiny_checkpoint, tmp_path):
    listed = tmp_path / 'list.txt'
    names = ['left/0001.mp4', 'right/0000.mp4', 'left/0001.mp4', 'left/0000.mp4']
    listed.write_text(''.join(f'{name} 0\n' for name in names))
    extract_to(tmp_path / 'f.npy', listed, tiny_checkpoint, '--root', motion / 'test')
    array = np.load(tmp_path / 'f.npy')
    expected = [motion / 'test' / name for name in dict.fromkeys(names)]
    assert (tmp_path / 'f.txt').read_text().splitlines() == list(map(str, expected))
    assert array.shape == (3, 64)
    for row, path in zip(array, expected):
        sample = build_pipeline(model)(to_sample(path))
        feature = extract(
            model, model.data_preprocessor(dict(inputs=[sample['inputs']], data_samples=None))['inputs'][0], 'video'
        )
        assert np.abs(row - feature.numpy()).max() < 1e-5
    assert not (tmp_path / 'f.npy.parts').exists()


def test_all_formats_hold_the_same(motion, tiny_checkpoint, tmp_path):
    from pyarrow import parquet

    for suffix in ('npy', 'safetensors', 'parquet'):
        extract_to(tmp_path / f'f.{suffix}', motion / 'test/left', tiny_checkpoint, '--level', 'tokens')
    array = np.load(tmp_path / 'f.npy')
    assert array.shape == (3, 1, 8, 6, 6, 64)
    by_name = load_file(tmp_path / 'f.safetensors')
    table = parquet.read_table(tmp_path / 'f.parquet').to_pylist()
    for row, name, entry in zip(array, (tmp_path / 'f.txt').read_text().splitlines(), table, strict=True):
        assert np.array_equal(by_name[name], row)
        assert entry == dict(video=name, shape=list(row.shape), feature=row.ravel().tolist())


@pytest.mark.long
def test_two_processes_write_what_one_writes(motion, tiny_checkpoint, tmp_path):
    extract_to(tmp_path / 'one.npy', motion / 'test', tiny_checkpoint)
    command = ['-m', 'torch.distributed.run', '--nproc-per-node=2', f'--master-port={free_port()}', TOOL]
    run_tool(*command, motion / 'test', TINY, tiny_checkpoint, tmp_path / 'two.npy')
    assert (tmp_path / 'one.npy').read_bytes() == (tmp_path / 'two.npy').read_bytes()
    assert (tmp_path / 'one.txt').read_text() == (tmp_path / 'two.txt').read_text()


@pytest.mark.long
def test_a_killed_run_goes_on_and_ends_with_the_same_file(motion, tiny_checkpoint, tmp_path):
    videos = tmp_path / 'videos'
    for copy in range(8):
        shutil.copytree(motion / 'test', videos / str(copy))
    command = [sys.executable, TOOL, str(videos), TINY, str(tiny_checkpoint)]
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    process = subprocess.Popen(
        [*command, str(tmp_path / 'killed.npy')], cwd=ROOT, env=environment, start_new_session=True
    )
    parts = tmp_path / 'killed.npy.parts'
    while len(list(parts.glob('*.npy'))) < 10:
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = {part: part.stat().st_mtime_ns for part in parts.glob('*.npy')}
    assert 10 <= len(done) < 96
    (parts / '95.part').write_bytes(b'half')
    log = extract_to(tmp_path / 'killed.npy', videos, tiny_checkpoint)
    assert 'wrote features of 96 videos' in log
    extract_to(tmp_path / 'whole.npy', videos, tiny_checkpoint)
    assert (tmp_path / 'killed.npy').read_bytes() == (tmp_path / 'whole.npy').read_bytes()


def test_broken_videos_are_left_out_and_listed(motion, tiny_checkpoint, tmp_path):
    videos = tmp_path / 'videos'
    shutil.copytree(motion / 'test/left', videos)
    (videos / '0001.mp4').write_bytes(b'')
    log = extract_to(tmp_path / 'f.npy', videos, tiny_checkpoint)
    assert f'not read: {videos}/0001.mp4: the file is empty' in log
    assert 'wrote features of 2 videos' in log
    assert len(np.load(tmp_path / 'f.npy')) == 2
    assert (tmp_path / 'f.broken.txt').read_text() == f'{videos}/0001.mp4\n'


def test_work_begun_with_other_settings_is_not_gone_on_with(motion, tiny_checkpoint, tmp_path):
    parts = tmp_path / 'f.npy.parts'
    parts.mkdir()
    (parts / 'settings').write_text('others')
    log = run_tool(TOOL, motion / 'test/left', TINY, tiny_checkpoint, tmp_path / 'f.npy', fails=True)
    assert 'was begun with another list, level, config or checkpoint' in log


def test_an_unknown_format_is_refused(motion, tiny_checkpoint, tmp_path):
    log = run_tool(TOOL, motion / 'test/left', TINY, tiny_checkpoint, tmp_path / 'f.pkl', fails=True)
    assert 'expected a name that ends in .npy or .safetensors or .parquet' in log
