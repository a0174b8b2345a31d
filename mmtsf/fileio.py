"""Read and write object storage as MMEngine's file backend, by prefix and as ``backend='fsspec'``.

Importing this module adds the backend, and it adds only what nobody has: a name or a prefix that another program has
registered stays its own. ``s3`` is MMEngine's word for Petrel, and is taken where Petrel's client is not installed, so
that nothing could be opened by it. ``import mmtsf`` adds nothing; our configs, Runner and API import this.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.fileio.backends import BaseStorageBackend, LocalBackend, PetrelBackend, backends, prefix_to_backends
from mmengine.fileio.backends import register_backend as register

from .utils.files import download, is_inner, make_folder, upload, written_whole
from .utils.locations import location

#: Protocols that are found by prefix; the name serves all that fsspec opens, and of http more than MMEngine's backend
PREFIXES = ('s3', 's3a', 'gs', 'gcs', 'az', 'abfs', 'abfss', 'hf')
NAME = 'fsspec'
#: How names begin that a listing leaves out, as MMEngine's does
HIDDEN = '.'


class FsspecBackend(BaseStorageBackend):
    """MMEngine's interface to addresses, as :class:`mmengine.fileio.LocalBackend` is one to the disk.

    Credentials come from the environment, as the libraries of each storage find them. Calls are tried again where the
    reason may pass; what is written is whole or not there.
    """

    def get(self, filepath: str | Path) -> bytes:
        """Read a file."""
        return location(filepath).read_bytes()

    def get_text(self, filepath: str | Path, encoding: str = 'utf-8') -> str:
        """Read a text."""
        return self.get(filepath).decode(encoding)

    def put(self, obj: Any, filepath: str | Path) -> None:
        """Write bytes, or what a ``BytesIO`` holds, as a whole."""
        place = location(filepath)
        make_folder(place.parent)
        with written_whole(place) as part:
            part.write_bytes(obj.getvalue() if hasattr(obj, 'getvalue') else obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write a text as a whole."""
        self.put(obj.encode(encoding), filepath)

    def exists(self, filepath: str | Path) -> bool:
        """Return whether there is a file or a folder."""
        return location(filepath).exists()

    def isdir(self, filepath: str | Path) -> bool:
        """Return whether there is a folder: keys begin with its name."""
        return location(filepath).is_dir()

    def isfile(self, filepath: str | Path) -> bool:
        """Return whether there is a file."""
        return location(filepath).is_file()

    def join_path(self, filepath: str | Path, *filepaths: str | Path) -> str:
        """Join an address and names below it."""
        return '/'.join([str(filepath).rstrip('/'), *(str(name).strip('/') for name in filepaths)])

    @contextmanager
    def get_local_path(self, filepath: str | Path) -> Iterator[str]:
        """Fetch a file to a temporary one, which is removed afterwards."""
        with tempfile.TemporaryDirectory() as folder:
            yield self.copyfile_to_local(filepath, Path(folder, Path(str(filepath)).name))

    def copyfile(self, src: str | Path, dst: str | Path) -> str:
        """Copy a file at an address to another one; into it, if it is a folder."""
        with self.get_local_path(src) as path:
            return self.copyfile_from_local(path, self._into(src, dst))

    def copytree(self, src: str | Path, dst: str | Path) -> str:
        """Copy a folder at an address to one that does not exist.

        Raises:
            FileExistsError: If it exists.
        """
        if self.exists(dst):
            raise FileExistsError(f'{dst} exists; choose another name')
        for name in self.list_dir_or_file(src, list_dir=False, recursive=True):
            self.copyfile(self.join_path(src, name), self.join_path(dst, name))
        return str(dst)

    def copyfile_from_local(self, src: str | Path, dst: str | Path) -> str:
        """Put a local file at an address; into it, if it is a folder."""
        place = location(target := self._into(src, dst))
        if isinstance(place, Path):
            return LocalBackend().copyfile(src, place)
        upload(Path(src), place)
        return target

    def copytree_from_local(self, src: str | Path, dst: str | Path) -> str:
        """Put a local folder at an address where there is none.

        Raises:
            FileExistsError: If there is one.
        """
        if self.exists(dst):
            raise FileExistsError(f'{dst} exists; choose another name')
        for path in sorted(Path(src).rglob('*')):
            if path.is_file():
                self.copyfile_from_local(path, self.join_path(dst, path.relative_to(src).as_posix()))
        return str(dst)

    def copyfile_to_local(self, src: str | Path, dst: str | Path) -> str:
        """Fetch a file, whole; into a folder, if that is one."""
        target = Path(dst, Path(str(src)).name) if Path(dst).is_dir() else Path(dst)
        make_folder(target.parent)
        download(location(src), target)
        return str(target)

    def copytree_to_local(self, src: str | Path, dst: str | Path) -> str:
        """Fetch a folder to one that does not exist.

        Raises:
            FileExistsError: If it exists.
        """
        Path(dst).mkdir(parents=True)
        for name in filter(is_inner, self.list_dir_or_file(src, list_dir=False, recursive=True)):
            self.copyfile_to_local(self.join_path(src, name), Path(dst, name))
        return str(dst)

    def remove(self, filepath: str | Path) -> None:
        """Remove a file.

        Raises:
            FileNotFoundError: If there is none.
            IsADirectoryError: If it is a folder.
        """
        if not self.exists(filepath):
            raise FileNotFoundError(f'filepath {filepath} does not exist')
        if self.isdir(filepath):
            raise IsADirectoryError('filepath should be a file')
        location(filepath).unlink()

    def rmtree(self, dir_path: str | Path) -> None:
        """Remove a folder with all that is in it."""
        for name in list(self.list_dir_or_file(dir_path, list_dir=False, recursive=True)):
            location(self.join_path(dir_path, name)).unlink()

    def copy_if_symlink_fails(self, src: str | Path, dst: str | Path) -> bool:
        """Copy a file or a folder; there are no links.

        Returns:
            bool: False.
        """
        (self.copytree if self.isdir(src) else self.copyfile)(src, dst)
        return False

    def list_dir_or_file(
        self,
        dir_path: str | Path,
        list_dir: bool = True,
        list_file: bool = True,
        suffix: str | tuple[str, ...] | None = None,
        recursive: bool = False,
    ) -> Iterator[str]:
        """List a folder, by paths relative to it.

        Args:
            dir_path (str | Path): The folder.
            list_dir (bool): Whether folders are listed. Defaults to True.
            list_file (bool): Whether files are. Defaults to True.
            suffix (str | tuple[str, ...], optional): How files end. Defaults to None: in any way.
            recursive (bool): Whether folders in it are listed, too. Defaults to False.

        Raises:
            TypeError: If a suffix is given, and folders are listed, or it is no text.
        """
        if list_dir and suffix is not None:
            raise TypeError('`suffix` should be None when `list_dir` is True')
        if suffix is not None and not isinstance(suffix, (str, tuple)):
            raise TypeError('`suffix` must be a string or tuple of strings')
        folder = location(dir_path)
        if isinstance(folder, Path):
            return LocalBackend().list_dir_or_file(folder, list_dir, list_file, suffix, recursive)
        kinds: dict[str, bool] = {}
        for key, entry in folder.keys_below(maxdepth=None if recursive else 1, withdirs=list_dir).items():
            is_folder = entry['type'] == 'directory' or key.endswith('/')  # whose marker is no file
            if list_dir or not is_folder:
                kinds[key.strip('/')] = is_folder
        names = (name for name, is_folder in kinds.items() if is_folder or (list_file and _is_meant(name, suffix)))
        return filter(None, names)

    def _into(self, src: str | Path, dst: str | Path) -> str:
        return self.join_path(dst, Path(str(src)).name) if self.isdir(dst) else str(dst)


def _is_meant(name: str, suffix: str | tuple[str, ...] | None) -> bool:
    return not name.rpartition('/')[2].startswith(HIDDEN) and name.endswith(suffix or '')


def _is_free(prefix: str) -> bool:
    """Return whether nobody opens a prefix: Petrel does with its client alone."""
    owner = prefix_to_backends.get(prefix)
    has_petrel = 'petrel_client' in sys.modules or find_spec('petrel_client') is not None
    return owner is None or (owner is PetrelBackend and not has_petrel)


def register_where_free() -> None:
    """Add the backend by its name and by the prefixes that nobody else opens."""
    name = NAME if backends.get(NAME, FsspecBackend) is FsspecBackend else f'mmtsf.{NAME}'
    register(name, FsspecBackend, force=True, prefixes=list(filter(_is_free, PREFIXES)))


register_where_free()
