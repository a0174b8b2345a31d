"""Load videos that an annotation list names."""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.datasets import BaseActionDataset
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmtsf.registry import DATASETS
from mmtsf.utils.locations import is_address, location, relative_to, within
from mmtsf.utils.media import is_video
from mmtsf.utils.remote_cache import drop_damaged, ready
from mmtsf.utils.text import shorten

from .annotation_lines import LABEL_HEADERS, is_number, number_of
from .annotation_list import AnnotationList, Row, read_list
from .class_counts import rarest
from .class_names import check_unnumbered, class_names
from .decoders import ArrayReader, BrokenVideoError
from .label_mistakes import columns, no_label, unknown_label
from .loading.seeds import keep_random_state, seed_sample
from .loading.worker_table import WorkerTable
from .transforms.read_video import check_order

#: Broken videos in a row after which a data set is taken for misplaced
MAX_BROKEN_IN_A_ROW = 20
#: Seconds to wait for a folder that is gone
PATIENCE = 600
#: Seconds between two looks for it
LOOK = 1.0
#: Folders that are watched; each is looked at once when a list is read
MAX_FOLDERS = 10_000


def _video_dir(data_prefix: dict) -> str:
    """Folder of the videos in MMAction2's words.

    Raises:
        ValueError: If there are folders of something else.
    """
    if others := {kind: folder for kind, folder in data_prefix.items() if kind != 'video' and folder}:
        raise ValueError(f"data_prefix is {others}, expected dict(video=FOLDER), the folder of the list's paths")
    return data_prefix.get('video') or ''


def _device(folder: Any) -> int:
    return 0 if is_address(folder) else os.stat(folder).st_dev


@DATASETS.register_module()
class VideoListDataset(BaseActionDataset):
    """Videos and labels from a list, one a line: ``path label``, ``path,label`` or the like, see :func:`read_list`.

    A path is a video file or a folder of frames, relative to ``data_root``; it may hold spaces. A label is a number or
    a class name, and a name where the names are numbers; with ``multi_class`` there may be several a line.

    In training a broken video is replaced by another one, where classes are balanced by one of its class if any can be
    read, and its sample says so under ``broken``. In testing it is an error, unless ``skip_broken``: then a black clip
    takes its place, marked in the same way, and metrics leave it out.

    Args:
        ann_file (str): Path of the list, relative to ``data_root`` unless absolute, or its address.
        pipeline (list): Transforms, beginning with :class:`OpenVideo`.
        num_classes (int, optional): Number K of classes; labels lie in ``[0, K)``. Defaults to None: as many as there
            are names in ``classes``.
        data_root (str): Folder of the data set, or its address. Defaults to ``''``.
        video_dir (str): Folder of the videos, relative to ``data_root``, or its address. Defaults to ``''``.
        classes (str | list[str], optional): Class names in the order of the labels, or a text file with one a line,
            relative to ``data_root``. Defaults to None: ``default_classes``.
        default_classes (str, optional): Data set whose names come with the package (:func:`shipped_classes`), where
            they are ``num_classes``. Defaults to None: the labels' numbers.
        multi_class (bool): Whether a video may have several labels. Defaults to False.
        test_mode (bool): Whether the data set is for validation or testing. Defaults to False.
        skip_broken (bool): Whether testing goes on without the videos that cannot be read. Defaults to False.
        time_limit (float): Seconds after which a video that is being read in a data worker is taken for broken.
            Defaults to 60.
        allow_outside (bool): Whether paths of the list may lead out of ``video_dir``, or be addresses. Defaults to
            False.
        indices (int | list[int], optional): Use only these, or the first so many. Defaults to None: all.
        data_prefix (dict, optional): ``dict(video=FOLDER)`` is MMAction2's word for ``video_dir``. Defaults to None.
        metainfo (dict, optional): More of what :attr:`metainfo` tells; ``classes`` may stand here. Defaults to None.
        base: Other arguments of :class:`mmaction.datasets.BaseActionDataset`.
    """

    def __init__(
        self,
        ann_file: str,
        pipeline: list[dict | Callable],
        num_classes: int | None = None,
        data_root: str = '',
        video_dir: str = '',
        classes: str | list[str] | None = None,
        default_classes: str | None = None,
        multi_class: bool = False,
        test_mode: bool = False,
        skip_broken: bool = False,
        time_limit: float = 60,
        allow_outside: bool = False,
        indices: int | list[int] | None = None,
        data_prefix: dict | None = None,
        metainfo: dict | None = None,
        **base: Any,
    ) -> None:
        self.skip_broken = skip_broken
        self.time_limit = time_limit
        self.allow_outside = allow_outside
        self.worker_table = WorkerTable()
        #: Videos that have each label, in a training whose classes are balanced
        self.class_counts: Mapping[int, int] | None = None
        self.left_out: dict[str, str] = {}
        self.video_dir = within(data_root, video_dir or _video_dir(data_prefix or {}))
        if is_address(self.video_dir):
            ready()
        self.were_there: dict[Any, int] = {}
        self.class_source = classes if isinstance(classes, str) else 'data.classes'
        names = class_names(classes or (metainfo or {}).get('classes'), data_root, num_classes, default_classes)
        self.label_of = {name: label for label, name in enumerate(names)}
        #: Whether numbers are names of classes, which another place than theirs would have: 1, 2, 3
        self.named_by_numbers = any(
            is_number(name) and number_of(name) != label for name, label in self.label_of.items()
        )
        self.list_file = within(data_root, ann_file)
        super().__init__(
            '' if is_address(self.list_file) else ann_file,  # which MMEngine would join by names of two protocols alone
            pipeline,
            data_root=data_root,
            data_prefix=dict(),
            metainfo=dict(metainfo or {}, classes=names),
            multi_class=multi_class,
            num_classes=len(names),
            test_mode=test_mode,
            indices=indices,
            **base,
        )
        check_order(self.pipeline.transforms)

    def load_data_list(self) -> list[dict]:
        """Read the list.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is empty, or a line is not ``path label``, a path leads out of ``video_dir``, a label is
                out of range or twice in a line, or the labels are columns of zeros and ones.
        """
        file: Any = self.list_file if is_address(self.list_file) else Path(self.ann_file)
        if not file.is_file():
            raise FileNotFoundError(
                f'the annotation file {file} does not exist; write one with a line "path label" '
                'for each video, or point data.root at the folder that holds it'
            )
        check_unnumbered(list(self.label_of), self.class_source)
        listed = read_list(file, self.video_dir, self.allow_outside, self._is_label, self.multi_class)
        self._check_columns(file, listed)
        data_list, rows = [], listed.rows
        for place, (where, path, words) in enumerate(rows):
            labels = self._labels(path, words, where, is_first=place == 0 and not listed.header)
            filename = str(within(self.video_dir, path))
            data_list.append(dict(filename=filename, label=labels if self.multi_class else labels[0]))
        if not data_list:
            raise ValueError(f'the annotation file {file} lists no videos; expected a line "path label" for each')
        if self.num_classes == 2 and {tuple(row.labels) for row in rows} == {('0', '1'), ('1', '0')}:
            raise ValueError(f'{rows[0].where}: {self._one_hot(rows[0].path, rows[0].labels)}')
        return data_list

    def _check_columns(self, file: Any, listed: AnnotationList) -> None:
        """Refuse a list whose header names others than a path and a label, or with ``multi_class`` several."""
        first, *others = [word.lower() for word in listed.header] or ['path', 'label']
        if len(others) > 1 and all(map(self._is_label, listed.header[1:])):
            row = listed.rows[0] if listed.rows else Row('', 'a.mp4', [])
            raise ValueError(f'{file}, line 1 names a column for each class; {self._one_hot(row.path, row.labels)}')
        is_label = first not in LABEL_HEADERS and all(word in LABEL_HEADERS for word in others)
        if not is_label or (len(others) > 1 and not self.multi_class):
            raise ValueError(f'{file}, line 1: {columns(listed.header)}')

    def _labels(self, path: str, words: list[str], where: str, is_first: bool) -> list[int]:
        """Numbers of a video's labels.

        Raises:
            ValueError: If they are none, more than one without ``multi_class``, or one is there twice.
        """
        if unknown := [word for word in words if not self._is_label(word)]:
            raise ValueError(
                f'{where}: the label {shorten(unknown[:1])!r} is neither a number nor one of the class names; '
                f'{unknown_label(unknown[0], self.label_of, is_first)}'
            )
        if not words:
            raise ValueError(f'{where}: {path!r} has 0 labels, expected one; {no_label(path)}')
        frames = "leave out the number of frames of MMAction2's 'folder frames label', which is counted"
        if len(words) > 1 and not self.multi_class:
            remedy = (
                frames if len(words) == 2 and words[0].isdecimal() and not is_video(path) else 'leave out the others'
            )
            raise ValueError(
                f'{where}: {path!r} has {len(words)} labels, expected one; {remedy}, or for several labels a video set '
                'multi_class=True'
            )
        labels = [self._label(word, where) for word in words]
        if len(set(labels)) < len(labels):
            twice = next(word for place, word in enumerate(words) if labels[place] in labels[:place])
            raise ValueError(f'{where}: {path!r} has the label {twice!r} twice; {self._one_hot(path, words)}')
        return labels

    def _one_hot(self, path: str, words: list[str]) -> str:
        """What to write in the place of a column of 0 and 1 for each class."""
        example = path, ['1', '0', '1'], ['0', '2']
        if len(words) == self.num_classes and set(words) <= {'0', '1'}:
            example = path, words, [str(label) for label, word in enumerate(words) if word == '1']
        path, columns, labels = example
        return (
            'where the columns are 0 and 1 for each class (one-hot), write the numbers of the classes instead: '
            f'{" ".join([path, *labels])!r} for {" ".join([path, *columns])!r}'
        )

    def filter_data(self) -> list[dict]:
        """Keep all videos, and note their folders and a digest of their paths and labels, by which a resume knows them
        again, wherever their folder lies."""
        digest = hashlib.sha256()
        for info in self.data_list:
            name = info['filename']
            inner = f'/{relative_to(self.video_dir, name)}' if is_address(self.video_dir) else name
            line = f'{inner.removeprefix(str(self.video_dir))} {info["label"]}\n'
            digest.update(line.encode('utf-8', 'surrogateescape'))
        self.digest = digest.hexdigest()
        self._note_folders(self.data_list)
        return self.data_list

    def _is_label(self, word: str) -> bool:
        return is_number(word) or word in self.label_of

    def _label(self, word: str, where: str) -> int:
        """Number of a label that is given as a number or as a class name.

        Raises:
            ValueError: If it may be either, or is out of range.
        """
        if not is_number(word):
            return self.label_of[word]
        if self.named_by_numbers:
            return self._label_by_name(word, where)
        label = number_of(word)
        if not 0 <= label < self.num_classes:
            raise ValueError(
                f'{where}: the label {shorten([word])} is not in [0, {self.num_classes}); set data.num_classes to the '
                'number of classes, which count from 0'
            )
        return label

    def _label_by_name(self, word: str, where: str) -> int:
        """Number of the class that has a number for a name: of classes 1, 2, 3 the label 1 is the first."""
        if others := [name for name in self.label_of if not is_number(name)]:
            raise ValueError(
                f'{where}: the label {word} may be the number or the name of a class, as some names are numbers and '
                f'others are not ({others[0]!r}); write names that are no numbers in data.classes'
            )
        if word not in self.label_of:
            raise ValueError(
                f'{where}: the label {word} is none of the class names {", ".join(self.label_of)}, which are numbers '
                'and are taken for names; set data.classes=None to number the classes from 0'
            )
        return self.label_of[word]

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels of a video, as MMEngine's ``ClassBalancedDataset`` asks for them."""
        label = BaseDataset.get_data_info(self, idx)['label']  # before several labels become a vector
        return label if isinstance(label, list) else [label]

    def __getitem__(self, idx: int) -> Any:
        """A sample by its index, which may be a :class:`SeededIndex`."""
        seed_sample(idx)
        return super().__getitem__(int(idx))

    def prepare_data(self, idx: int) -> Any:
        """Read a sample, or what takes the place of a broken video.

        Raises:
            BrokenVideoError: If the video cannot be read, in testing without ``skip_broken``.
            RuntimeError: If so many in a row cannot be read that the data set must be misplaced.
        """
        place, begin_again = idx, keep_random_state()
        broken: list[tuple[str, str]] = []
        while len(broken) < MAX_BROKEN_IN_A_ROW:
            info = self.get_data_info(place)
            try:
                return self._read(place, info, broken)
            except BrokenVideoError as error:
                if self._has_come_back(info['filename']):
                    begin_again()
                    return self.prepare_data(idx)
                if self.test_mode and not self.skip_broken:
                    raise
                broken.append((info['filename'], str(error)))
                if self.test_mode:
                    black = ArrayReader(np.zeros((1, 256, 256, 3), np.uint8))
                    return self.pipeline(dict(info, broken=broken, reader=black))
                place = self._another(idx, {video for video, _ in broken})
        raise RuntimeError(
            f'{len(broken)} videos in a row could not be read, the last one {broken[-1][1]}; check that '
            'data.root points at the videos'
        )

    def _another(self, index: int, tried: set[str]) -> int:
        """Index of the video that takes the place of a broken one: any; in a balanced training one of its class, of
        which half as many are tried as of all."""
        if self.class_counts is not None and len(tried) < MAX_BROKEN_IN_A_ROW // 2:
            of_class = np.flatnonzero(self._rarest == self._rarest[index])
            for place in np.random.permutation(of_class).tolist():
                if BaseDataset.get_data_info(self, place)['filename'] not in tried | self.left_out.keys():
                    return place
        return self._rand_another()

    @cached_property
    def _rarest(self) -> np.ndarray:
        """The rarest label of each video ``(N,)``."""
        counts = self.class_counts or {}
        return np.array([rarest(self.get_cat_ids(index), counts) for index in range(len(self))])

    def _read(self, index: int, info: dict, broken: list[tuple[str, str]]) -> Any:
        video = info['filename']
        if video in self.left_out:
            raise BrokenVideoError(video, self.left_out[video])
        begin_again = keep_random_state()
        with self.worker_table.hold(index):
            try:
                return self.pipeline(dict(self._begun(info), broken=broken))
            except BrokenVideoError:
                if not self._is_mended(info):
                    raise
            begin_again()
            return self.pipeline(dict(self._begun(info), broken=broken))

    def _is_mended(self, info: dict) -> bool:
        """Whether what was read of a broken video came from a cache, whose disk may have damaged it, and is gone."""
        return is_address(info['filename']) and drop_damaged(info['filename'])

    def _begun(self, info: dict) -> dict:
        """What a sample begins with."""
        return info

    def leave_out(self, video: str, reason: str) -> None:
        """Take a video for broken from now on; workers that run already do not learn of it."""
        self.left_out[video] = reason

    def _has_come_back(self, video: str) -> bool:
        """Whether a folder of the video was gone and came back: a server that is restarted, say.

        Raises:
            RuntimeError: If it does not come back within ``PATIENCE`` seconds.
        """
        gone = [folder for folder in self._folders(video) if folder in self.were_there and not self._is_there(folder)]
        if not gone:
            return False
        print_log(f'{gone[-1]} is gone; waiting {PATIENCE} s for it', 'current', logging.WARNING)
        deadline = time.monotonic() + PATIENCE
        while not all(map(self._is_there, gone)):
            if time.monotonic() > deadline:
                raise RuntimeError(f'{gone[-1]} is gone and did not come back within {PATIENCE} s')
            time.sleep(LOOK)
        return True

    def _note_folders(self, data_list: list[dict]) -> None:
        """Remember which folders of videos are there, and on which device; of very many, the outer ones."""
        inner = {os.path.dirname(info['filename']) for info in data_list}
        folders = {folder for path in inner for folder in self._folders(os.path.join(path, 'video'))}
        outer = sorted(folders, key=lambda folder: len(folder.parts))[:MAX_FOLDERS]
        self.were_there = {folder: _device(folder) for folder in outer if self._is_there(folder)}

    def _folders(self, video: str) -> list[Any]:
        """Folders that hold a video, from the next one up to that of all videos; of an address its server's alone."""
        if is_address(video):
            return [location(video).parents[-1]]
        above: list[Any] = list(Path(video).parents)
        inside = above[: above.index(self.video_dir)] if self.video_dir in above else above[:1]
        return [*inside, self.video_dir]

    def _is_there(self, folder: Any) -> bool:
        """Whether a folder holds anything: where a server is gone, its mount point is empty. A folder that is empty and
        on the device on which it was had its videos deleted; that of all videos must hold some. An address is there as
        long as its server answers."""
        if is_address(folder):
            return folder.is_reachable()
        try:
            with os.scandir(folder) as entries:
                stays = folder != self.video_dir and os.stat(folder).st_dev == self.were_there.get(folder)
                return stays or any(entries)
        except OSError:
            return False
