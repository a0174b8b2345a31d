"""Features on disk: every video once, whatever happens on the way."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import ROOT, TINY, free_port, run_tool
from safetensors.numpy import load_file

from mmtsf.apis import build_pipeline, extract, feature_files, to_sample
from mmtsf.commands import new_command
from mmtsf.preparation.video_paths import known_videos
from mmtsf.utils.arguments import mistakes_of
from mmtsf.utils.files import check_target
from mmtsf.weights.sources import cached

TOOL = 'tools/extract_features.py'


def extract_to(out: Path, videos: Path, checkpoint: Path, *more: str) -> str:
    return run_tool(TOOL, videos, TINY, checkpoint, out, *more)


@pytest.fixture
def run(monkeypatch):
    """The command, in this process; an error is raised as it is."""
    monkeypatch.chdir(ROOT)
    merge = feature_files.merge

    def run(*words: object, interrupted: bool = False) -> None:
        command, parser = new_command('features')
        args = parser.parse_intermixed_args(list(map(str, words)))
        if interrupted:
            monkeypatch.setattr(feature_files, 'merge', lambda *_: 'interrupted')
        with mistakes_of(parser):
            command.check(args)
        command.run(args)
        monkeypatch.setattr(feature_files, 'merge', merge)

    return run


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


def test_all_formats_hold_the_same(run, motion, tiny_checkpoint, tmp_path):
    from pyarrow import parquet

    for suffix in ('npy', 'safetensors', 'parquet'):
        run(motion / 'test/left', TINY, tiny_checkpoint, tmp_path / f'f.{suffix}', '--level', 'tokens')
    array = np.load(tmp_path / 'f.npy')
    assert array.shape == (3, 1, 8, 6, 6, 64)
    by_name = load_file(tmp_path / 'f.safetensors')
    table = parquet.read_table(tmp_path / 'f.parquet').to_pylist()
    for row, name, entry in zip(array, (tmp_path / 'f.txt').read_text().splitlines(), table, strict=True):
        assert np.array_equal(by_name[name], row)
        assert entry == dict(video=name, shape=list(row.shape), feature=row.ravel().tolist())


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


def test_broken_videos_are_left_out_and_listed(run, motion, tiny_checkpoint, tmp_path, capsys):
    videos = tmp_path / 'videos'
    shutil.copytree(motion / 'test/left', videos)
    (videos / '0001.mp4').write_bytes(b'')
    run(videos, TINY, tiny_checkpoint, tmp_path / 'f.npy')
    log = ''.join(capsys.readouterr())
    assert f'not read: {videos}/0001.mp4: the file is empty' in log
    assert 'wrote features of 2 videos' in log
    assert len(np.load(tmp_path / 'f.npy')) == 2
    assert (tmp_path / 'f.broken.txt').read_text() == f'{videos}/0001.mp4\n'


def test_work_begun_with_other_settings_is_not_gone_on_with(run, motion, tiny_checkpoint, tmp_path):
    parts = tmp_path / 'f.npy.parts'
    parts.mkdir()
    (parts / 'settings').write_text('others')
    with pytest.raises(ValueError, match='was begun with another list, level, config or checkpoint') as error:
        run(motion / 'test/left', TINY, tiny_checkpoint, tmp_path / 'f.npy')
    assert f'remove it with rm -r {parts}, or choose another OUT' in str(error.value)


def test_weights_that_were_exchanged_meanwhile_are_not_mixed(run, motion, tiny_checkpoint, tmp_path):
    checkpoint = shutil.copy(tiny_checkpoint, tmp_path)
    videos = tmp_path / 'videos'
    shutil.copytree(motion / 'test/left', videos)
    run(videos, TINY, checkpoint, tmp_path / 'f.npy')
    run(videos, TINY, checkpoint, tmp_path / 'f.npy', interrupted=True)
    os.utime(checkpoint, (1, 1))
    with pytest.raises(ValueError, match='was begun with another list, level, config or checkpoint'):
        run(videos, TINY, checkpoint, tmp_path / 'f.npy')


# Nothing is written before all is known to be good


@pytest.fixture
def inputs(motion, tiny_checkpoint, tmp_path) -> dict[str, object]:
    """What the tool takes, all of it good; lists and broken files to take instead lie in the folder ``mistakes``."""
    mistakes = tmp_path / 'mistakes'
    (mistakes / 'folder.npy').mkdir(parents=True)
    (mistakes / 'begun.npy.parts').touch()
    (mistakes / 'good.txt').write_text('left/0000.mp4 0\n')
    (mistakes / 'empty.txt').write_text('\n\n')
    (mistakes / 'header.csv').write_text('path,label\n')
    (mistakes / 'missing.txt').write_text('none/1.mp4 0\nnone/2.mp4 1\n')
    (mistakes / 'no_checkpoint.pth').write_bytes(b'no checkpoint')
    (mistakes / 'broken.py').write_text("_base_ = 'none.py'\n")
    torch.save(dict(weight=torch.ones(1)), mistakes / 'other.pth')
    return dict(
        list=mistakes / 'good.txt',
        config=TINY,
        checkpoint=tiny_checkpoint,
        out=tmp_path / 'f.npy',
        root=motion / 'test',
    )


MISTAKES = {
    'checkpoint': ['none.pth', 'none/epoch_1.pth', 'nobodys_weights', '{m}/no_checkpoint.pth', '{m}/other.pth', '{m}'],
    'config': ['none.py', 'mmtsf::timesformer_none.py', '{m}/broken.py'],
    'list': ['none.txt', '{m}/empty.txt', '{m}/header.csv', '{m}/missing.txt'],
    'root': ['/none', '{m}/good.txt', '{m}'],
    'out': ['{m}/none/f.npy', '{m}/good.txt/f.npy', '/proc/f.npy', '{m}/folder.npy', 'f.pkl', '{m}/begun.npy']
    + ['{m}/good.npy'],  # its names would be written over good.txt, the list
}
#: What is said where it is not the name of the mistake
SAID = {
    '{m}/other.pth': 'of no architecture that is known here',
    '{m}/broken.py': 'none.py',
    '{m}/good.npy': 'good.txt, which is read and would be written over',
}


@pytest.mark.parametrize(('option', 'mistake'), [(key, mistake) for key in MISTAKES for mistake in MISTAKES[key]])
def test_a_mistake_leaves_nothing_behind_and_the_right_command_then_runs(
    run, inputs, tmp_path, capsys, option, mistake
):
    before = sorted(tmp_path.rglob('*'))
    wrong = inputs | {option: mistake.format(m=tmp_path / 'mistakes')}
    *words, root = wrong.values()
    with pytest.raises((OSError, ValueError, SystemExit)) as error:
        run(*words, '--root', root)
    said = capsys.readouterr().err if error.type is SystemExit else str(error.value)
    name = Path(mistake).name.format(m=tmp_path / 'mistakes').removeprefix('mmtsf::')
    assert SAID.get(mistake, name) in said
    assert sorted(tmp_path.rglob('*')) == before
    if mistake in ('none.pth', '{m}/none/f.npy'):
        *words, root = inputs.values()
        run(*words, '--root', root)
        assert np.load(tmp_path / 'f.npy').shape == (1, 64)


def test_options_without_a_meaning_leave_nothing_behind(run, inputs, motion, refused, tmp_path):
    *words, _ = inputs.values()
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(ValueError, match='--root is for lists, and .* is none'):
        run(motion / 'test', *words[1:], '--root', motion)
    with refused("--workers: invalid int above 0 value: '-1'"):
        run(*words, '--root', motion / 'test', '--workers', -1)
    for mistake in (['--level', 'none'], ['--cfg-options', 'clip.num_frames=none'], ['--cfg-options', 'none.none=1']):
        with pytest.raises((SystemExit, Exception), match=r'.'):
            run(*words, '--root', motion / 'test', *mistake)
    assert sorted(tmp_path.rglob('*')) == before


def test_videos_of_which_none_can_be_read_leave_nothing_behind(run, inputs, tmp_path):
    broken = tmp_path / 'broken.mp4'
    broken.write_bytes(b'no video')
    with pytest.raises(RuntimeError, match='none of the 1 videos could be read'):
        run(broken, *list(inputs.values())[1:4])
    assert not (tmp_path / 'f.npy.parts').exists()


def test_a_folder_that_may_not_be_written_is_said(inputs):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        process = multiprocessing.get_context('fork').Process(target=check_as_somebody, args=(Path(folder, 'f.npy'),))
        process.start()
        process.join()
        assert process.exitcode == 0


def check_as_somebody(out: Path) -> None:
    if os.geteuid() == 0:
        os.setuid(65534)
    try:
        check_target(out, 'OUT')
    except OSError as error:
        os._exit(str(error) != f'OUT is {out}, which cannot be written: Permission denied; choose another')
    os._exit(2)


@pytest.mark.parametrize(('name', 'number'), [('WORLD_SIZE', '2'), ('SLURM_STEP_NUM_TASKS', '4')])
def test_several_processes_of_a_launcher_are_told_what_takes_their_place(
    run, inputs, refused, tmp_path, monkeypatch, name, number
):
    monkeypatch.setenv(name, number)
    *words, root = inputs.values()
    before = sorted(tmp_path.rglob('*'))
    with refused(f'{name} is {number}: .* start it once, with --engine ray for all GPUs and machines'):
        run(*words, '--root', root)
    assert sorted(tmp_path.rglob('*')) == before


def test_a_checkpoint_may_be_an_address(run, inputs, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    *words, root = inputs.values()
    words[2] = f'http://127.0.0.1:{free_port()}/model.pth'
    with pytest.raises(FileNotFoundError, match=f'cannot fetch {words[2]}'):
        run(*words, '--root', root)
    assert not (tmp_path / 'f.npy.parts').exists()
    shutil.copy(inputs['checkpoint'], cached(words[2]))
    run(*words, '--root', root)
    assert (tmp_path / 'f.npy').exists()


@pytest.mark.parametrize('path', ['../o.mp4', '{outside}/o.mp4', 'http://127.0.0.1:9/o.mp4', 'sub/../../o.mp4'])
def test_a_list_cannot_lead_out_of_its_folder(path, motion, tiny_checkpoint, tmp_path):
    (tmp_path / 'videos').mkdir()
    shutil.copy(motion / 'test/left/0000.mp4', tmp_path / 'o.mp4')
    (tmp_path / 'videos/list.txt').write_text(f'{path.format(outside=tmp_path)} 0\n')
    with pytest.raises(ValueError, match='list.txt, line 1: .* (leads out of|is an address)'):
        known_videos(tmp_path / 'videos/list.txt', None, allow_outside=False)
    if '://' not in path:
        (video,) = known_videos(tmp_path / 'videos/list.txt', None, allow_outside=True)
        assert Path(video).samefile(tmp_path / 'o.mp4')
