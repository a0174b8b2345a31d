"""Checkpoints on disks that are full, damaged or not to be written."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
import warm
from runs import ROOT, TINY, options, run_tool

from mmtsf.engine.runner.checkpoint_files import CheckpointFiles, damage
from mmtsf.engine.runner.work_dir import check_work_dir, claim
from mmtsf.weights import read_checkpoint


@pytest.fixture(scope='module')
def trained(motion, tmp_path_factory) -> Path:
    """Work dir of three epochs, of which the last two are kept."""
    work_dir = tmp_path_factory.mktemp('trained')
    changes = {'max_epochs': 3, 'default_hooks.checkpoint.max_keep_ckpts': 2}
    run_tool('tools/train.py', TINY, '--work-dir', work_dir, *options(motion, **changes))
    return work_dir


def names(folder: Path) -> list[str]:
    """Files of checkpoints, and what else looks like them."""
    return sorted(path.name for path in folder.iterdir() if '.pth' in path.name)


def test_so_many_checkpoints_are_kept_and_the_best(trained):
    *best, second, third = names(trained)
    assert [second, third] == ['epoch_2.pth', 'epoch_3.pth']
    assert len(best) == 1
    assert best[0].startswith('best_acc_top1_epoch_')
    info = torch.load(trained / third, weights_only=True)['message_hub']['runtime_info']
    assert info['best_ckpt'] == str(trained / best[0])


@pytest.fixture(scope='module')
def small_checkpoint(tmp_path_factory) -> Path:
    """A checkpoint of two kilobytes."""
    path = tmp_path_factory.mktemp('small') / 'epoch_1.pth'
    torch.save(dict(meta=dict(epoch=1), state_dict=dict(weight=torch.arange(9.0), bias=torch.ones(3))), path)
    return path


def test_no_checkpoint_that_is_cut_off_is_taken_for_whole(small_checkpoint, tmp_path):
    content = small_checkpoint.read_bytes()
    path = tmp_path / 'epoch_1.pth'
    assert damage(small_checkpoint) is None
    for size in range(0, len(content), 7):
        path.write_bytes(content[:size])
        assert damage(path), size


def test_a_flipped_byte_is_found_or_does_not_matter(small_checkpoint, tmp_path):
    content = small_checkpoint.read_bytes()
    expected = torch.load(small_checkpoint, weights_only=True)
    path = tmp_path / 'epoch_1.pth'
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        if damage(path) is None:
            got = read_checkpoint(str(path))
            assert got['meta'] == expected['meta'], place
            assert all(torch.equal(got['state_dict'][key], expected['state_dict'][key]) for key in ('weight', 'bias'))


@pytest.mark.parametrize('fault', [pytest.param('cut off', marks=pytest.mark.long), 'a flipped byte'])
def test_resume_passes_over_a_damaged_checkpoint_whatever_last_checkpoint_says(fault, trained, motion, tmp_path):
    for path in trained.glob('epoch_*.pth'):
        shutil.copy2(path, tmp_path)
    newest = tmp_path / 'epoch_3.pth'
    content = bytearray(newest.read_bytes())
    with zipfile.ZipFile(newest) as file:
        tensor = max(file.infolist(), key=lambda info: info.file_size)
    content[tensor.header_offset + tensor.file_size // 2] ^= 1
    newest.write_bytes(content if fault == 'a flipped byte' else content[: len(content) // 2])
    (tmp_path / 'last_checkpoint').write_text(str(newest))
    log = run_tool('tools/train.py', TINY, '--resume', '--work-dir', tmp_path, *options(motion, max_epochs=3))
    assert f'{newest} is newer, but passed over: ' in log
    assert f'resuming from {tmp_path}/epoch_2.pth' in log
    assert damage(newest) is None
    assert CheckpointFiles(tmp_path).newest_whole() == (newest, {})


def test_weights_that_were_converted_or_published_are_not_resumed_from(trained, tmp_path):
    for name in ('epoch_2.pth', 'epoch_2-0123abcd.pth', 'best_acc_top1_epoch_1.pth', 'timesformer.pth'):
        shutil.copy(trained / 'epoch_2.pth', tmp_path / name)
    assert CheckpointFiles(tmp_path).newest_whole()[0] == tmp_path / 'epoch_2.pth'


#: Mount a file system, and train in a process that sees it; what its work dir holds at the end is copied out
ON_A_MOUNT = """
import ctypes, os, runpy, shutil, subprocess, sys

mount, work_dir, copy, meanwhile, *sys.argv = sys.argv[1:]
user, group = os.getuid(), os.getgid()
if ctypes.CDLL(None).unshare(0x10000000 | 0x00020000):  # CLONE_NEWUSER, CLONE_NEWNS
    sys.exit('not allowed')
for name, words in (('setgroups', 'deny'), ('uid_map', f'0 {user} 1'), ('gid_map', f'0 {group} 1')):
    with open(f'/proc/self/{name}', 'w') as file:
        file.write(words)
if subprocess.run(['mount', '-t', 'tmpfs', '-o', mount, 'tmpfs', work_dir]).returncode:
    sys.exit('not allowed')
if meanwhile:
    subprocess.Popen(['bash', '-c', meanwhile])
process = os.fork()
if process == 0:
    runpy.run_path(sys.argv[0], run_name='__main__')
    sys.exit()
code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
shutil.copytree(work_dir, copy)
sys.exit(code)
"""


def train_on_a_mount(mount: str, folder: Path, *words: str, meanwhile: str = '') -> tuple[int, str, list[str]]:
    """Exit code, log and checkpoints of a training whose work dir is mounted, in a namespace of its own."""
    work_dir, copy = folder / 'disk', folder / 'copy'
    work_dir.mkdir()
    train = ['tools/train.py', TINY, '--work-dir', str(work_dir), *words]
    script = ['-c', ON_A_MOUNT, mount, str(work_dir), str(copy), meanwhile.format(work_dir), *train]
    with (folder / 'log').open('w+') as output:
        code = warm.start(script, ROOT, dict(os.environ, OMP_NUM_THREADS='1'), output).wait(200)
        output.seek(0)
        log = output.read()
    if log.endswith('not allowed\n'):
        pytest.skip('mounting is not allowed here')
    for path in copy.glob('*.pth'):
        assert damage(path) is None
    return code, log, names(copy)


def test_a_full_disk_costs_the_checkpoint_not_the_run(trained, motion, tmp_path):
    whole, best = (max(path.stat().st_size for path in trained.glob(f'{name}_*.pth')) for name in ('epoch', 'best'))
    size = best + int(1.5 * whole) + 300_000  # with the best, room for one
    words = options(motion, max_epochs=3, **{'default_hooks.logger.interval': 1})
    code, log, files = train_on_a_mount(f'size={size}', tmp_path, *words)
    assert 'epoch_2.pth cannot be written: No space left on device; make room, earlier checkpoints stay' in log
    assert 'epoch 3/3  loss' in log
    assert code == 2
    assert 'error: training is at its end, but ' in log
    assert 'then go on with --resume' in log
    assert [name for name in files if not name.startswith('best_')] == ['epoch_1.pth']


def test_a_disk_without_room_for_the_log_does_not_end_the_run(motion, tmp_path):
    fill = '(until grep -rq "1/16]" {0}; do sleep 0.05; done; cat /dev/zero > {0}/of_others 2> {0}/../full) &'
    words = options(motion, max_epochs=3, **{'default_hooks.logger.interval': 1, 'global_batch_size': 2})
    code, log, files = train_on_a_mount('size=4m', tmp_path, *words, meanwhile=fill)
    assert 'No space left' in (tmp_path / 'full').read_text()
    assert 'epoch 3/3  loss' in log
    assert 'epoch_3.pth cannot be written: No space left on device' in log
    assert code == 2
    assert files == []


def test_a_work_dir_that_cannot_be_written_is_one_clear_error_at_the_start(motion, tmp_path):
    code, log, _ = train_on_a_mount('ro', tmp_path, *options(motion))
    assert code == 2
    assert f'--work-dir is {tmp_path}/disk, which cannot be written: Read-only file system; choose another' in log
    assert 'epoch' not in log


@pytest.mark.parametrize('take', [check_work_dir, claim])
def test_a_work_dir_that_is_a_file_is_named_with_the_remedy(take, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match=f'the work dir {tmp_path}/file cannot be written: .*; choose another with'):
        take(tmp_path / 'file')
