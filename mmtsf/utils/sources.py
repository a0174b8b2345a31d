"""Find the config, checkpoint, video or camera that a user names, without slow imports."""

import ast
import difflib
import hashlib
import os
import re
import shlex
import stat
import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .locations import OF_WEB, is_address, location, scheme_of
from .media import OF_CAMERAS, is_list, is_video, suffix_of, without_query
from .read_text import read_text
from .text import without_secrets

PACKAGE = Path(__file__).parents[1]
MODEL_INDEX = PACKAGE / 'model-index.yml'
#: How the names of shipped configs begin
PREFIX = 'mmtsf::'
#: Suffixes of what a user gives beside videos
CONFIGS = ('.py', '.json', '.yaml', '.yml')
CHECKPOINTS = ('.pth', '.pyth', '.pt', '.ckpt', '.safetensors', '.npz', '.bin')
#: Protocols of object storage, from which checkpoints and configs are taken
STORES = ('s3', 's3a', 'gs', 'gcs', 'az', 'abfs', 'abfss', 'hf')
#: Most bytes of a config at an address
MOST_CONFIG = 2**20
#: Folder in which trainings leave their work dirs
WORK_DIRS = 'work_dirs'


class Address(NamedTuple):
    """Hold the URL and checksum of a checkpoint to download.

    Args:
        url (str): Its URL.
        sha256 (str, optional): How its checksum begins, if that is published. Defaults to None.
        page (str, optional): Page whose terms are to be accepted before it can be fetched. Defaults to None: anybody
            can.
    """

    url: str
    sha256: str | None = None
    page: str | None = None


def config_path(config: str | Path) -> Path:
    """Return the path of a config file, or of a shipped config by its name.

    Args:
        config (str | Path): A path, or ``'mmtsf::NAME.py'``, or the address of one in object storage, which is fetched.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is none by its name.
    """
    if str(config).startswith(PREFIX):
        return _shipped(str(config).removeprefix(PREFIX))
    _refuse_others(str(config), 'config', 'a config file (.py), and then CHECKPOINT')
    if is_address(config):
        config = _fetched_config(str(config))
    if not Path(config).is_file():
        raise FileNotFoundError(
            f'the config {config} does not exist; those of the paper lie in configs/ of a checkout, and have names '
            f'everywhere: {PREFIX}timesformer_base_k400.py'
        )
    _check_syntax(Path(config))
    return Path(config)


@cache
def _fetched_config(address: str) -> Path:
    """Fetch a config, which is a program: one that the user has named himself, from object storage alone.

    Raises:
        OSError: If it cannot be fetched.
        ValueError: If it lies elsewhere, or is too large to be one.
    """
    shown = without_secrets(address)
    if scheme_of(address) not in STORES:
        raise ValueError(
            f'the config {shown} is a program from the web; fetch it, read it and give its path (from object storage, '
            's3:// and others, one is taken that you name)'
        )
    from .files import download  # which takes time

    path = location(address)
    if (found := path.stat().st_size) > MOST_CONFIG:
        raise ValueError(f'the config {shown} has {found:,} bytes, expected at most {MOST_CONFIG:,}')
    folder = Path.home() / '.cache/mmtsf/configs' / hashlib.sha256(address.encode()).hexdigest()[:32]
    folder.mkdir(parents=True, exist_ok=True)
    download(path, folder / path.name)
    return folder / path.name


def _check_syntax(config: Path) -> None:
    """Refuse a config that is no Python, as MMEngine does after what takes seconds.

    Raises:
        ValueError: If it is none, with the line.
    """
    text = read_text(config)
    if config.suffix.lower() != '.py':
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # MMEngine shows them
            ast.parse(re.sub(r'\{\{.*?\}\}', '_', text))
    except SyntaxError as error:
        raise ValueError(f'{error.msg} ({config}, line {error.lineno})') from None


def config_beside(checkpoint: str) -> Path:
    """Return the config that a run has left beside a checkpoint in its work dir.

    A config is a program. Only in a folder ``work_dirs`` is one run that nobody has named.

    Args:
        checkpoint (str): The checkpoint.

    Raises:
        FileNotFoundError: If there is none, or several.
    """
    folder = Path(checkpoint).resolve().parent
    found = sorted(folder.glob('*.py')) if WORK_DIRS in folder.parts and Path(checkpoint).is_file() else []
    if len(found) == 1:
        return found[0]
    there = [file for file in sorted(Path(checkpoint).parent.glob('*.py')) if _is_config(file, checkpoint)]
    wanted = str(there[0]) if len(there) == 1 else 'CONFIG'
    several = f', and beside {checkpoint} there are {", ".join(file.name for file in there)}' if there[1:] else ''
    raise FileNotFoundError(
        f'a config is a program, so one that is not named is taken only from {WORK_DIRS}/RUN, where a training has '
        f'left it beside its checkpoints{several}; name it before the checkpoint: {shlex.join([wanted, checkpoint])}'
    )


def _is_config(file: Path, checkpoint: str) -> bool:
    """Return whether a Python file beside a checkpoint reads like its config."""
    try:
        text = file.read_text(errors='replace') if Path(checkpoint).is_file() else ''
    except OSError:
        return False
    return re.search(r'^(_base_|model)\s*=', text, re.MULTILINE) is not None


def check_video(source: str) -> None:
    """Refuse a config, a checkpoint or a text file in the place of a video.

    Raises:
        ValueError: If it is one.
    """
    _refuse_others(source, 'video', 'a video, and then CONFIG CHECKPOINT')


def check_list(source: str) -> None:
    """Refuse a config or a checkpoint in the place of an annotation list or a folder of videos.

    Raises:
        ValueError: If it is one.
    """
    if Path(source).suffix.lower() != '.json' and not Path(source).is_dir():
        _refuse_others(source, 'list', 'an annotation list, a folder of videos or a video')


def _refuse_others(source: str, expected: str, remedy: str) -> None:
    """Raise if a file is of another kind than expected, by its suffix; if it has none of ours, by being text."""
    suffix = Path(source).suffix.lower()
    kind = 'config' if suffix in CONFIGS else 'checkpoint' if suffix in CHECKPOINTS else None
    if is_video(source) and expected != 'list':
        kind = 'video'
    if kind is None and expected in ('video', 'checkpoint') and _is_text(source):
        kind = 'text'
    if kind is None and expected == 'config' and Path(source).exists():
        kind = 'folder' if Path(source).is_dir() else f'{suffix or "nameless"} file'
    if kind not in (None, expected):
        place = 'input' if expected in ('video', 'list') else expected
        named = kind if kind == 'text' else f'a {kind}'
        raise ValueError(f'the {place} is {without_secrets(source)}, which is {named}; expected {remedy}')


def _is_text(path: str) -> bool:
    """Return whether a file begins as text does."""
    try:
        if not os.path.isfile(path):  # opening a pipe would wait for whoever writes
            return False
        with open(path, 'rb') as file:
            begin = file.read(256)
    except (OSError, ValueError):
        return False
    return begin != b'' and b'\0' not in begin and begin.decode(errors='replace').rstrip('\ufffd').count('\ufffd') == 0


def _shipped(name: str) -> Path:
    """Return the path of a shipped config in the installed package or the checkout."""
    installed = PACKAGE / '.mim/configs'
    folder = installed if installed.is_dir() else PACKAGE.parent / 'configs'
    if (folder / name).is_file():
        return folder / name
    known = sorted(path.name for path in folder.glob('*.py'))
    close = difflib.get_close_matches(name, known, n=1)
    hint = f'did you mean {PREFIX}{close[0]}?' if close else f'known are {", ".join(known)}'
    raise FileNotFoundError(f'mmtsf has no config {name!r}; {hint}')


def find_checkpoint(source: str) -> Path | Address:
    """Return the local path of a checkpoint, or the address to download it from.

    Args:
        source (str): A path, a URL, or a name of ``model-index.yml``.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is none by its name.
    """
    if not isinstance(source, str):  # as of a config
        raise ValueError(f'the checkpoint (start, load_from) is {source!r}, expected a path, an address or a name')
    if re.match('https?://', source, re.IGNORECASE) or scheme_of(source) in STORES:
        return Address(source)
    _refuse_others(source, 'checkpoint', 'weights (a file, a URL or a published name) after CONFIG')
    shown = without_secrets(source)
    try:
        path = Path(source).expanduser()
        if source.strip() and path.exists():
            _refuse_no_weights(path)
            return path
    except (OSError, RuntimeError) as error:  # too long, in a folder that may not be read; of a user that is none
        reason = getattr(error, 'strerror', None) or error
        raise FileNotFoundError(f'the checkpoint {shown[:200]!r} cannot be found: {reason}; correct its path') from None
    if shown != source or '://' in source:
        raise FileNotFoundError(
            f'{shown} is no address that is fetched; give one that begins with http:// or https:// or '
            f'{", ".join(f"{name}://" for name in STORES)}, or the path of a file'
        )
    known = published()
    if source in known:
        return known[source]
    if path.suffix or len(path.parts) > 1:
        of_hub = (
            f'; a model of the Hugging Face hub is hf://{source}' if re.fullmatch(r'[\w.-]+/[\w.-]+', source) else ''
        )
        raise FileNotFoundError(f'the checkpoint {source} does not exist{of_hub}')
    close = difflib.get_close_matches(source, known, n=3)
    hint = f' (did you mean {" or ".join(close)}?)' if close else ''
    raise FileNotFoundError(
        f'the checkpoint {source!r} does not exist{hint}, and there are no published weights of that name; known are '
        f'{", ".join(known)}'
    )


def _refuse_no_weights(path: Path) -> None:
    """Refuse a text and an empty folder, which no reader takes.

    Raises:
        ValueError: If it is one.
    """
    expected = 'expected a checkpoint file, or a folder as Hugging Face saves it'
    if path.is_dir() and os.access(path, os.R_OK) and not os.listdir(path):
        raise ValueError(f'{path} is not a checkpoint but an empty folder; {expected}')
    if path.suffix.lower() in CHECKPOINTS and _is_text(str(path)):
        with path.open('rb') as file:
            start = file.read(64).lstrip()
        if start[:1] not in b'(}c<':  # as pickles and web pages may begin
            pointer = start.startswith(b'version https://git-lfs')
            named = 'a pointer of Git LFS, whose file was not fetched; git lfs pull' if pointer else 'text'
            raise ValueError(f'{path} is not a checkpoint but {named}; {expected}')


def published() -> dict[str, Address]:
    """Read the addresses of published weights by their names."""
    import yaml

    models = [model for model in yaml.safe_load(MODEL_INDEX.read_text())['Models'] if 'Weights' in model]
    pages = {model['Name']: (model.get('Metadata') or {}).get('Gated') for model in models}
    return {name: Address(model['Weights'], model.get('SHA256'), pages[name]) for name, model in zip(pages, models)}


def is_live(source: str) -> bool:
    """Return whether a source is a camera or a stream: a number, a device, or an address that is no file. On the web
    files are told by their suffixes, but for those that cameras use."""
    if is_address(source):
        is_file = is_list(source) or (is_video(source) and suffix_of(source) not in OF_CAMERAS)
        return scheme_of(source) in OF_WEB and not (is_file or without_query(source).endswith('/'))
    if source.isdigit() or not os.path.lexists(source):
        return True
    return os.path.exists(source) and stat.S_ISCHR(os.stat(source).st_mode)
