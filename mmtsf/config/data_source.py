"""Find out from what is there whether a config's videos are those of lists, of class folders or of shards."""

import copy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmtsf.utils.class_folders import find_classes, has_classes
from mmtsf.utils.data_root import (
    OF_FOLDERS,
    OF_LISTS,
    OF_LISTS_AND_SHARDS,
    check_root,
    lists_beside_classes,
    shard_folders,
    source_of,
)
from mmtsf.utils.locations import location
from mmtsf.utils.vits import PLAIN

from .checks import shipped
from .lineage import inherited, writes
from .shipped import config_path
from .words import with_words

LISTS = ('train_list', 'val_list', 'test_list')
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
AUTO = 'auto'


def found_data(values: dict, lineage: list[tuple[Path, dict]], options: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what ``data.source``, ``data.num_classes`` and ``data.test_list`` stand for.

    ``data.source='auto'`` is ``'list'`` where ``data`` has words for lists alone; else ``'shards'`` where ``data.root``
    holds their index; else ``'list'`` where it holds the training list; else ``'folder'`` where it holds class folders,
    or ``data`` has words for folders alone; else ``'list'``. A folder, or the index of shards, tells the number of
    classes where ``data.root`` is another than that of the shipped data set whose number ``data.num_classes`` is, and
    no config of a user's writes the number.

    Args:
        values (dict): A config, with its references.
        lineage (list[tuple[Path, dict]]): Files that it is made of, see :func:`inherited`.
        options (tuple[str, ...]): Dotted names that were changed. Defaults to none.

    Raises:
        ValueError: If ``data.num_classes`` is an option and not the number of classes in the folder.

    Returns:
        dict[str, Any]: Changes of ``data``; none where nothing is to be found out.
    """
    data = values.get('data')
    if not isinstance(data, dict) or data.get('source') not in (AUTO, 'list', 'folder', 'shards'):
        return {}
    source = data['source'] if data['source'] != AUTO else chosen(data) or _there(data)
    changes = {} if source == data['source'] else dict(source=source)
    if source == 'list' and 'test_list' in data and data['test_list'] is None:
        changes['test_list'] = data.get('val_list')
    root = data.get('root')
    if not isinstance(root, str) or source == 'list':
        return changes
    usual, folder = _usual(lineage), _shipped_folder()
    own = [path for path, _ in lineage if not path.is_relative_to(folder)]
    if (
        any(writes(path, 'data', 'num_classes') for path in own)
        or data.get('num_classes') != usual.get('num_classes')
        or root == usual.get('root')
    ):
        return changes
    if (number := _num_classes(source, root)) is None:
        return changes
    if 'data.num_classes' in options and data['num_classes'] != number:
        raise ValueError(
            f'data.num_classes is {data["num_classes"]}, but {root} holds {number} classes; leave data.num_classes out'
        )
    return changes if number == data['num_classes'] else dict(changes, num_classes=number)


def chosen(data: dict) -> str | None:
    """Return the source that other words of ``data`` are for, where they are not the usual ones; None if there are
    none."""
    usual: dict = shipped()[1]['data']
    words: dict[str, tuple[str, ...]] = dict(list=OF_LISTS, folder=OF_FOLDERS)
    if isinstance(data.get('root'), str) and shard_folders(location(data['root'])):
        words = dict(list=tuple(word for word in OF_LISTS if word not in OF_LISTS_AND_SHARDS))
    for source, others in words.items():
        if any(word in data and data[word] != usual[word] for word in others):
            return source
    return None


def _num_classes(source: str, root: str) -> int | None:
    """The number of classes that a folder holds; None if it tells none."""
    if source == 'folder':
        return len(find_classes(root)) if has_classes(location(root)) else None
    folders = shard_folders(location(root)) if source == 'shards' else []
    if not folders:
        return None
    from mmtsf.datasets.shards import read_classes

    return len(read_classes(folders[0]) or ()) or None


def check_source(config: Config) -> None:
    """Refuse a folder that holds neither lists nor class folders nor shards, before anything is built.

    Args:
        config (Config): With its references. One that does not ask for ``data.source='auto'`` is right.

    Raises:
        FileNotFoundError: If there is no such folder, or it holds none of them.
        ValueError: If it holds videos where their class cannot be told.
    """
    from .references import Resolver

    values = with_words(config.to_dict())
    data = values.get('data')
    if not isinstance(data, dict) or data.get('source') != AUTO or chosen(data):
        return
    loaders = [values[name] for name in LOADERS if name in values]
    resolver = Resolver(dict(values, data=dict(data, source='list')))
    try:
        resolver.resolve(loaders)
    except (KeyError, ValueError, RecursionError):
        return  # what is wrong is said where the config is resolved
    if 'data.source' in resolver.named:  # else the data sets are others
        check_root(data['root'], _lists(data))


def _there(data: dict) -> str:
    return source_of(location(str(data.get('root'))), _lists(data)) or 'list'


def _lists(data: dict) -> list[str]:
    """The names of the lists; None stands for another one."""
    return [str(data[name]) for name in LISTS if data.get(name) is not None]


def _usual(lineage: list[tuple[Path, dict]]) -> dict:
    """The table ``data`` of the last shipped file that a config is made of."""
    folder = _shipped_folder()
    tables = [values.get('data') or {} for path, values in lineage if path.is_relative_to(folder)]
    return next((table for table in reversed(tables) if 'root' in table), shipped()[1]['data'])


def _shipped_folder() -> Path:
    return config_path('mmtsf::_base_/datasets/videos.py').resolve().parents[2]


def taken_lists(config: Config) -> str | None:
    """Return a line for the log where a config takes lists that class folders lie beside; else None."""
    data = config.get('data') or {}
    if data.get('source') != 'list' or not all(isinstance(data.get(name), str) for name in ('root', *LISTS)):
        return None
    return lists_beside_classes(data['root'], _lists(data))


def settle(config: Config, options: tuple[str, ...] = ()) -> Config:
    """Return a config whose ``data``, ``vit`` and ``vits`` say what was found out, so that it means the same elsewhere.

    Args:
        config (Config): With its references.
        options (tuple[str, ...]): Dotted names that were changed. Defaults to none.

    Raises:
        FileNotFoundError: As :func:`check_source` does.
        ValueError: The same, or as :func:`with_words` does.
    """
    check_source(config)
    values = config.to_dict()
    changes: dict[str, Any] = {}
    if found := found_data(values, inherited(config), options):
        changes['data'] = found
    if (vit := (words := with_words(values)).get('vit', PLAIN)) != PLAIN:
        changes |= dict(vit=vit, vits={vit: words['vits'][vit]})
    if changes:
        config = copy.deepcopy(config)
        config.merge_from_dict(changes)
    return config
