"""MMEngine reads and writes object storage through our backend, and what others have registered stays theirs."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from mmengine import fileio
from mmengine.fileio.backends import LocalBackend, PetrelBackend, backends, prefix_to_backends

from mmtsf.fileio import FsspecBackend, register_where_free


@pytest.fixture
def registered() -> Iterator[None]:
    """Leave the registries of MMEngine as they were."""
    registries = (backends, prefix_to_backends)
    before = [dict(registry) for registry in registries]
    yield
    for registry, entries in zip(registries, before):
        registry.clear()
        registry.update(entries)


def interface(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith('_')}


def test_it_has_the_whole_interface_of_the_local_backend():
    assert interface(FsspecBackend) == interface(LocalBackend)


def test_files_and_folders_are_put_listed_copied_and_removed(s3, tmp_path):
    folder, named = f'{s3.url}/a', dict(backend='fsspec')
    fileio.put(b'abc', f'{folder}/b.bin')
    fileio.put_text('ä', fileio.join_path(folder, 'c', 'd.txt'))
    assert fileio.get(f'{folder}/b.bin') == b'abc'
    assert fileio.get_text(f'{folder}/c/d.txt') == 'ä'
    kinds = (fileio.exists, fileio.isdir, fileio.isfile)
    assert [kind(folder) for kind in kinds] == [True, True, False]
    assert [kind(f'{folder}/b.bin') for kind in kinds] == [True, False, True]
    assert [kind(f'{folder}/x') for kind in kinds] == [False, False, False]
    assert sorted(fileio.list_dir_or_file(folder)) == ['b.bin', 'c']
    assert sorted(fileio.list_dir_or_file(folder, recursive=True)) == ['b.bin', 'c', 'c/d.txt']
    assert list(fileio.list_dir_or_file(folder, list_dir=False, suffix='.txt', recursive=True)) == ['c/d.txt']
    with fileio.get_local_path(f'{folder}/b.bin') as path:
        assert Path(path).read_bytes() == b'abc'
    assert not Path(path).exists()
    assert fileio.copyfile(f'{folder}/b.bin', f'{folder}/c') == f'{folder}/c/b.bin'
    fileio.copytree(folder, f'{s3.url}/twin')
    with pytest.raises(FileExistsError):
        fileio.copytree(folder, f'{s3.url}/twin')
    fileio.copytree_to_local(f'{s3.url}/twin', tmp_path / 'here', backend_args=named)
    assert (tmp_path / 'here/c/d.txt').read_text(encoding='utf-8') == 'ä'
    fileio.copytree_from_local(tmp_path / 'here', f'{s3.url}/back')
    back = list(fileio.list_dir_or_file(f'{s3.url}/back', list_dir=False, recursive=True))
    assert sorted(back) == ['b.bin', 'c/b.bin', 'c/d.txt']
    for name in ('back/', 'back/c/', 'back/empty/'):  # markers of folders
        s3.put(name, b'')
    assert sorted(fileio.list_dir_or_file(f'{s3.url}/back', list_dir=False, recursive=True)) == sorted(back)
    fileio.copytree_to_local(f'{s3.url}/back', tmp_path / 'again', backend_args=named)
    fileio.remove(f'{folder}/b.bin')
    with pytest.raises(FileNotFoundError):
        fileio.remove(f'{folder}/b.bin')
    fileio.rmtree(folder)
    assert not fileio.exists(folder)


def test_of_http_it_has_by_name_what_mmengine_lacks(web):
    url = web.put('a/b.txt', 'text')
    assert fileio.isfile(url, backend_args=dict(backend='fsspec'))
    assert list(fileio.list_dir_or_file(f'{web.url}/a/', backend_args=dict(backend='fsspec'))) == ['b.txt']
    assert fileio.get_text(url) == 'text'  # MMEngine's own


def test_errors_are_one_line(s3):
    with pytest.raises(FileNotFoundError, match=f'^{s3.url}/x does not exist; correct the address$'):
        fileio.get(f'{s3.url}/x')
    s3.server.always = 403
    with pytest.raises(PermissionError, match=f'^{s3.url}/x: no rights to it'):
        fileio.get(f'{s3.url}/x')


@pytest.mark.usefixtures('registered')
def test_what_another_program_has_registered_stays_its_own(monkeypatch):
    class Mine(LocalBackend):
        """Another program's."""

    for prefix in ('s3', 'gs'):
        prefix_to_backends[prefix] = Mine
    backends['fsspec'] = Mine
    register_where_free()
    assert {prefix_to_backends['s3'], prefix_to_backends['gs'], backends['fsspec']} == {Mine}
    assert {prefix_to_backends['hf'], backends['mmtsf.fsspec']} == {FsspecBackend}
    prefix_to_backends['s3'] = PetrelBackend
    monkeypatch.setitem(sys.modules, 'petrel_client', ModuleType('petrel_client'))
    register_where_free()
    assert prefix_to_backends['s3'] is PetrelBackend  # whose client is installed
    monkeypatch.delitem(sys.modules, 'petrel_client')
    register_where_free()
    assert prefix_to_backends['s3'] is FsspecBackend
    assert prefix_to_backends['petrel'] is PetrelBackend
