"""Folders of images as data sets."""
from __future__ import annotations

import collections
import concurrent.futures
import multiprocessing
import multiprocessing.context
import os
import warnings
from typing import Iterator, NamedTuple, Sequence, Union

import numpy as np

from . import _core, _inputs
from ._core import ImageError
from ._inputs import count as _count
from ._multi_crop import Decode, Key, MultiCrop


class Batch(NamedTuple):
    """A batch of a Loader."""
    views: list[np.ndarray]  #: an array [images, channels, height, width] of float32 for every view
    labels: np.ndarray  #: int64: the number of the image's class in `classes`; -1 where there are none
    indices: np.ndarray  #: int64: the images' places in `Loader.paths`


def _folders(path: str, passed_over: dict[str, list[str]] | None = None) -> tuple[list[str], list[str]]:
    """Names of the folders and of the images in a folder: what is hidden and what systems put there (thumbnails, deleted files) left out. A link that
    leads nowhere is an image by its name, which cannot be read. `passed_over`: where what may have been meant and is not taken is put, by why."""
    folders, images = [], []
    passed_over = {} if passed_over is None else passed_over
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            link = entry.is_symlink()
            name = os.fsencode(entry.name)
            if os.path.isdir(entry.path) if link else entry.is_dir():
                if not _core.is_system_folder(name):
                    folders.append(entry.name)
                continue
            nowhere = link and not os.path.exists(entry.path)
            if _core.is_image_name(name) and (nowhere or (os.path.isfile(entry.path) if link else entry.is_file())):
                images.append(entry.name)
            elif nowhere:
                passed_over.setdefault("links to nowhere (is a disk not mounted?)", []).append(entry.path)
            elif _core.is_foreign_image_name(name):
                passed_over.setdefault("images in formats that are not read", []).append(entry.path)
            elif _core.is_archive_name(name):
                passed_over.setdefault("archives, which are not unpacked", []).append(entry.path)
    return folders, images


class _Guesses:
    """Splits that were guessed by the names of folders below the root."""

    def __init__(self) -> None:
        self.nested: list[str] = []  #: with folders for training and for testing inside
        self.training: list[str] = []  #: the former of these, which alone are taken
        self.tests: list[str] = []  #: named as test images, and taken all the same, as none for training is beside
        self.passed_over: dict[str, list[str]] = {}  #: paths that were skipped although they may have been meant, by kind

    def warn(self, root: str, stacklevel: int) -> None:
        if self.training:
            warnings.warn(f"{root}: of folders with splits further down only the training images are taken: {_listed(sorted(self.training))}",
                          stacklevel=stacklevel + 1)
        if self.tests:
            warnings.warn(f"{root}: folders named as test images are taken all the same, as none for training is beside: "
                          f"{_listed(sorted(self.tests))}", stacklevel=stacklevel + 1)
        for what, paths in self.passed_over.items():
            warnings.warn(f"{root}: passed over are {len(paths)} {what}: {_listed(sorted(os.path.relpath(path, root) for path in paths))}",
                          stacklevel=stacklevel + 1)


#: Paths through links that a walk follows, at most, for each folder that it found; kMostWays of data/image/folder_walk.cpp.
_MOST_WAYS = 16


def _walk(root: str, left_out: Sequence[str] = (), guesses: _Guesses | None = None, late_forbidden: bool = False) -> Iterator[str]:
    """Paths of the images in `root` and the folders there, from `root` on, without those in the folders `left_out` directly in it. Links are followed,
    but not into a folder that they are inside of; folders with links to each other, which have more than _MOST_WAYS ways a folder through links, are a
    ValueError. A folder below that may not be read is an error; with `late_forbidden` only after all that may be."""
    folders: list[tuple[str, tuple, bool]] = [("", (), False)]
    forbidden: PermissionError | None = None
    own, by_links, linked = 0, 0, set()
    while folders:
        below, above, through_link = folders.pop()
        here = os.path.join(root, below) if below else root
        try:
            status = os.stat(here)
            if (status.st_dev, status.st_ino) in above:
                continue
            inner, images = _folders(here, None if guesses is None else guesses.passed_over)
        except PermissionError as error:
            if not (below and late_forbidden):
                raise
            forbidden = forbidden or error
            continue
        above += ((status.st_dev, status.st_ino),)
        through_link = through_link or bool(below) and os.path.islink(here)
        if through_link:
            linked.add(above[-1])
            by_links += 1
        else:
            own += 1
        if by_links > _MOST_WAYS * (own + len(linked)):
            raise ValueError(f"links lead to the {own + len(linked)} folders of {root} in more than {_MOST_WAYS * (own + len(linked))} ways, one of them {below}: "
                             "their images would count once for each; remove the links between folders")
        if below:
            taken, only_training, tests = _core.nested_split([os.fsencode(name) for name in inner])
            inner = [os.fsdecode(name) for name in taken]
            if only_training:
                images = []
            if guesses is not None:
                guesses.nested += [below] if only_training else []
                guesses.training += [os.path.join(below, name) for name in inner] if only_training else []
                guesses.tests += [os.path.join(below, os.fsdecode(name)) for name in tests]
        else:
            inner = [name for name in inner if name not in left_out]
        folders += [(os.path.join(below, name), above, through_link) for name in inner]
        for name in images:
            yield os.path.join(below, name)
    if forbidden:
        raise forbidden


def _listed(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _split_folder(root: str, split: str | None) -> tuple[str, list[str]]:
    """The folder that holds a split, by the rules of `unlabel pretrain --data`, and the folders in it that are no part of it."""
    if split not in (None, "train", "test", "all"):
        raise ValueError(f"split is 'train', 'test', 'all' or None, not {split!r}")
    folders, images = _folders(root)
    folders.sort(key=os.fsencode)
    if split == "all" or not folders:
        return root, []

    # As in the program, a folder that may not be read counts as one without images, with a warning.
    forbidden: list[str] = []

    def forbid(name: bytes) -> None:
        note = f"{os.fsdecode(name)}/ of {root} may not be read, in part or as a whole, and counts as a folder without images"
        if note not in forbidden:
            forbidden.append(note)

    def holds_images(name: bytes) -> bool:
        try:
            return next(_walk(os.path.join(root, os.fsdecode(name)), late_forbidden=True), None) is not None
        except PermissionError:
            forbid(name)
            return False

    def folders_in(name: bytes) -> list[bytes]:
        try:
            return [os.fsencode(inner) for inner in _folders(os.path.join(root, os.fsdecode(name)))[0]]
        except PermissionError:
            forbid(name)
            return []

    train, left_out, tests, notes, refusal = _core.folder_layout(os.fsencode(root), [os.fsencode(name) for name in folders], bool(images),
                                                                 holds_images, folders_in)
    refusal = "; ".join([os.fsdecode(refusal), *forbidden]) if refusal else ""
    train, left_out, tests = os.fsdecode(train), [os.fsdecode(name) for name in left_out], [os.fsdecode(name) for name in tests]
    if split is None:
        names = ([train] if train else []) + tests
        if not names and refusal:
            raise ValueError(refusal)
        if names:
            raise ValueError(f"{root} has folders that are named as splits, {_listed(names)}: take one by split='train' or split='test', or every "
                             "folder for a class by split='all'")
        return root, []
    if split == "train":
        if refusal:
            raise ValueError(refusal)
        for note in [*map(os.fsdecode, notes), *forbidden]:
            warnings.warn(note, stacklevel=3)
        return (os.path.join(root, train), []) if train else (root, left_out)
    if not tests:
        raise ValueError(f"{root} has no folder of test images: looked for test, val, validation and their like, there are {_listed(folders)}")
    chosen = tests[0]
    if len(tests) > 1:
        # The first with class folders, as ImageNet's test/ has no labels, and its val/ has. Where none has images, listing says why.
        filled = [name for name in tests if holds_images(os.fsencode(name))]
        chosen = next((name for name in filled if not _folders(os.path.join(root, name))[1]), (filled or tests)[0])
    for note in forbidden:
        warnings.warn(note, stacklevel=3)
    return os.path.join(root, chosen), []


class Folder:
    """A folder of images as a data set of torch's DataLoader: `folder[i]` is (views, label), keyed by (seed, epoch, i).

        folder = Folder(root, MultiCrop("simclr"), seed=0)
        loader = torch.utils.data.DataLoader(folder, 256, shuffle=True, num_workers=8)
        for epoch in range(100):
            folder.set_epoch(epoch)
            for views, labels in loader: ...

    So an image's views are the same whatever the number of workers and the order, and others in every epoch. Files are decoded here, the fast way,
    without PIL.

    Classes and labels are those of torchvision's ImageFolder: every folder directly in it that is neither hidden nor one that systems make is a class,
    they are numbered in the order of their names, and all images in it and below have its number. `classes` has the names.

    - A class folder without images would move the numbers of those behind it: ValueError that names it. `allow_empty=True` keeps it as a class;
      `classes=train.classes` gives the names and numbers, of which a folder may have fewer.
    - Images beside class folders are left out, with a warning.
    - Without class folders, or with `classes=[]`, all images are there, `classes` is empty, and a label is -1.
    - Folders that are named as splits (train, test, val ...) are no classes. `split="train"` takes the training images that `unlabel pretrain --data`
      takes there, `split="test"` the test images that `unlabel knn --data` takes, and `split="all"` every folder for a class. Without it such a
      folder is a ValueError that names them.

    `paths` are in the order of their bytes below the folder, which is the program's order: where it holds the same images, both make the same views.
    Raises ImageError with its path for an image that cannot be decoded, OSError for a file that cannot be read.
    """
    EXTENSIONS = tuple(_core.image_extensions())

    def __init__(self, folder: Union[str, "os.PathLike[str]"], views: MultiCrop, *, seed: int = 0, decode: Decode = None,
                 classes: Sequence[str] | None = None, allow_empty: bool = False, split: str | None = None):
        if not isinstance(views, MultiCrop):
            raise TypeError(f'views must be a MultiCrop, as MultiCrop("swav") gives it, not {views!r}')
        self.views, self.seed, self.decode = views, _count("seed", seed, 0), _inputs.decode_options(decode)
        self._epoch = multiprocessing.RawValue("q", 0)  # shared with workers that outlive an epoch (persistent_workers)
        self.root, left_out = _split_folder(os.fsdecode(folder), "all" if split is None and classes is not None and len(classes) else split)
        tops = [name for name in _folders(self.root)[0] if name not in left_out]
        guesses = _Guesses()
        images = sorted(_walk(self.root, guesses=guesses, left_out=left_out), key=os.fsencode)
        if split == "test" and guesses.nested:
            raise ValueError(f"{self.root} holds images for training and for testing further down, in {_listed(sorted(guesses.nested))}: open "
                             "the test folder inside one of them")
        guesses.warn(self.root, stacklevel=2)
        self.classes, images = self._classify(images, sorted(tops, key=os.fsencode), classes, allow_empty)
        numbers = {name: label for label, name in enumerate(self.classes)}
        self.paths: list[str] = [os.path.join(self.root, path) for path in images]
        self.labels = np.asarray([numbers.get(path.partition(os.sep)[0], -1) for path in images], np.int64)
        if not self.paths:
            raise ValueError(f"{self.root} holds no images: no file there or below is named {' '.join(self.EXTENSIONS)}")

    def _classify(self, images: list[str], tops: list[str], given: Sequence[str] | None, allow_empty: bool) -> tuple[list[str], list[str]]:
        """The classes, and the images that belong to them."""
        filled = {path.partition(os.sep)[0] for path in images if os.sep in path}
        if given is None:
            if not filled:
                return [], images
            empty = [name for name in tops if name not in filled]
            if empty and not allow_empty:
                raise ValueError(f"{self.root} has folders without images, {_listed(empty)}: remove them, or keep their numbers as classes by "
                                 "allow_empty=True or classes=")
            classes = tops
        else:
            if isinstance(given, (str, bytes)):
                raise TypeError(f"classes is a list of names, not {given!r}")
            classes = list(given)
            if not classes:
                return [], images
            if len(set(classes)) < len(classes) or not all(isinstance(name, str) for name in classes):
                raise ValueError(f"classes are names, each of which is there once, not {_inputs.shown(classes)}")
            unknown = sorted(filled - set(classes), key=os.fsencode)
            if unknown:
                raise ValueError(f"{self.root} has folders that are not among the given classes: {_listed(unknown)}")
        beside = [path for path in images if os.sep not in path]
        if beside:
            warnings.warn(f"{self.root}: {len(beside)} images beside the class folders belong to no class and are left out: {_listed(beside)}; "
                          "classes=[] takes all images, without labels", stacklevel=3)
        return classes, [path for path in images if os.sep in path]

    def __getstate__(self) -> dict:
        # The shared number is only for workers that are being started.
        started = multiprocessing.context.get_spawning_popen() is not None
        return {**self.__dict__, "_epoch": self._epoch if started else self.epoch}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        if isinstance(self._epoch, int):
            self._epoch = multiprocessing.RawValue("q", self._epoch)

    @property
    def epoch(self) -> int:
        """The epoch in the keys; `set_epoch` sets it."""
        return self._epoch.value

    def set_epoch(self, epoch: int) -> None:
        """Call it before each epoch, as a DistributedSampler's: without, every epoch has the same views. Workers that are running see it too."""
        self._epoch.value = _count("epoch", epoch, 0)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[list[np.ndarray], int]:
        # From the end too, as lists have it: one image has one key.
        try:
            index = range(len(self))[index]
        except IndexError:
            raise IndexError(f"there is no image {index} of {len(self)}") from None
        out = [np.empty(shape, np.float32) for shape in self.views.shapes]
        self.into(index, (self.seed, self.epoch, index), out)
        return out, int(self.labels[index])

    def into(self, index: int, key: Key, out: Sequence[np.ndarray]) -> int:
        """Writes the views of an image into arrays that are there, as `MultiCrop.into` does. An ImageError names the path."""
        try:
            return self.views.into(self.paths[index], key, out, self.decode)
        except ImageError as error:
            raise ImageError(f"{self.paths[index]}: {error}") from None


class Loader:
    """Reads the images of a `Folder` and yields batches of views, made by threads: what a DataLoader does with worker processes.

    Views and order depend on `seed`, the epoch and the image alone. Each iteration is one epoch; `loader.epoch` says which, and may be set.

    An image that cannot be decoded raises ImageError with its path, or with `broken="skip"` is replaced by the next one of the epoch: `indices` and
    `labels` are of that one, and its views are drawn with the key of the image that it replaces, so that they are no copies of its own; `skipped`
    tells which: their places in `paths`, each with what was wrong. A file that cannot be read always raises OSError. `warnings` tells the images with
    corrupt data in the middle that libjpeg decoded all the same: their places, each with the number of libjpeg's warnings.
    """

    def __init__(self, folder: Union[str, "os.PathLike[str]"], views: MultiCrop, batch_size: int, *, threads: int | None = None, seed: int = 0,
                 shuffle: bool = True, drop_last: bool = True, broken: str = "raise", prefetch: int = 2, decode: Decode = None,
                 classes: Sequence[str] | None = None, allow_empty: bool = False, split: str | None = None):
        if broken not in ("raise", "skip"):
            raise ValueError(f"broken is 'raise' or 'skip', not {broken!r}")
        self.folder = Folder(folder, views, seed=seed, decode=decode, classes=classes, allow_empty=allow_empty, split=split)
        self.views, self.batch_size, self.seed = views, _count("batch_size", batch_size, 1), self.folder.seed
        self.threads = min(len(os.sched_getaffinity(0)), _core.usable_threads()) if threads is None else _count("threads", threads, 1)
        self.shuffle, self.drop_last, self.broken, self.prefetch = shuffle, drop_last, broken, _count("prefetch", prefetch, 1)
        self.epoch = 0
        self.classes, self.paths, self.labels = self.folder.classes, self.folder.paths, self.folder.labels
        self.warnings: dict[int, int] = {}
        self.skipped: dict[int, str] = {}
        if len(self.paths) < self.batch_size and drop_last:
            raise ValueError(f"{self.folder.root} holds {len(self.paths)} images, fewer than a batch of {self.batch_size}: "
                             "take a smaller batch_size, or drop_last=False")

    def __len__(self) -> int:
        whole, rest = divmod(len(self.paths), self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[Batch]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        order = np.arange(len(self.paths))
        if self.shuffle:
            np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, epoch])).shuffle(order)
        pending: collections.deque = collections.deque()
        with concurrent.futures.ThreadPoolExecutor(self.threads) as pool:
            try:
                for step in range(len(self)):
                    pending.append(self._begin(pool, epoch, order, step))
                    if len(pending) > self.prefetch:
                        yield self._finish(pending.popleft())
                while pending:
                    yield self._finish(pending.popleft())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, pool, epoch: int, order: np.ndarray, step: int):
        start = step * self.batch_size
        indices = order[start:start + self.batch_size].copy()
        views = [np.empty((len(indices), *shape), np.float32) for shape in self.views.shapes]
        # A few images a task, so that the interpreter hardly matters.
        chunk = max(1, min(16, -(-len(indices) // (2 * self.threads))))
        tasks = [pool.submit(self._fill, epoch, order, start, indices, views, first, min(first + chunk, len(indices)))
                 for first in range(0, len(indices), chunk)]
        return views, indices, tasks

    def _fill(self, epoch: int, order: np.ndarray, start: int, indices: np.ndarray, views: list[np.ndarray], first: int, last: int) -> None:
        for row in range(first, last):
            key = (self.seed, epoch, int(indices[row]))  # of a substitute too
            for attempt in range(len(order)):
                index = int(order[(start + row + attempt) % len(order)])
                try:
                    warnings = self.folder.into(index, key, [view[row] for view in views])
                except ImageError as error:
                    if self.broken == "raise":
                        raise
                    self.skipped[index] = str(error)
                    continue
                indices[row] = index
                if warnings:
                    self.warnings[index] = warnings
                break
            else:
                raise ImageError("no image of the folder can be decoded")

    def _finish(self, batch) -> Batch:
        views, indices, tasks = batch
        for task in tasks:
            task.result()
        return Batch(views, self.labels[indices], indices)
