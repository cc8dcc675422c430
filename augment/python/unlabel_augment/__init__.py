"""Multi-crop augmentation of images on a CPU, in C++: views of an image are a function of a key (seed, epoch, sample) alone, whatever the
number of threads or workers.

    views = MultiCrop("swav")                      # or global_size=96, local_count=0, ...; or MultiCrop.from_json(...)
    a, b, *small = views("photo.jpg", key=(0, 0, 17))

    dataset = Folder(root, MultiCrop("simclr"))    # for torch's DataLoader: the same views whatever num_workers
    for batch in Loader(root, MultiCrop("swav"), batch_size=256, threads=8): ...
"""
from __future__ import annotations

import collections
import concurrent.futures
import json
import multiprocessing
import multiprocessing.context
import operator
import os
import random
from typing import Any, Iterator, NamedTuple, Sequence, Union

import numpy as np

from ._core import (DecodeOptions, ImageError, Views, adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, adjust_sharpness, affine,
                    augment_op, autocontrast, byol_adjust_brightness, byol_adjust_contrast, byol_adjust_hue, byol_adjust_saturation, center_crop,
                    cutmix, decode, equalize, gaussian_blur, grayscale, horizontal_flip, instruction_set, mix_labels, mixup, normalize, pad_shift,
                    posterize, preset_names, random_resized_crop_box, random_shift_into, resize, resized_crop, rotate, sobel, solarize, to_gray,
                    to_planes)

__all__ = ["Batch", "DecodeOptions", "Folder", "ImageError", "Loader", "MultiCrop", "adjust_brightness", "adjust_contrast", "adjust_hue",
           "adjust_saturation", "adjust_sharpness", "affine", "augment_op", "autocontrast", "byol_adjust_brightness", "byol_adjust_contrast",
           "byol_adjust_hue", "byol_adjust_saturation", "center_crop", "cutmix", "decode", "equalize", "gaussian_blur", "grayscale",
           "horizontal_flip", "instruction_set", "mix_labels", "mixup", "normalize", "pad_shift", "posterize", "preset_names", "random_resized_crop",
           "random_resized_crop_box", "random_shift", "resize", "resized_crop", "rotate", "sobel", "solarize", "to_gray", "to_planes"]


def __dir__() -> list[str]:
    return __all__


Key = tuple[int, int, int]
Image = Union[bytes, bytearray, memoryview, str, "os.PathLike[str]", np.ndarray, Any]


def _source(image: Image):
    """What the compiled part takes: bytes, a path, or an array; a PIL image becomes an array."""
    if isinstance(image, (bytes, bytearray, memoryview, str, os.PathLike)):
        return image
    if hasattr(image, "convert") and hasattr(image, "tobytes"):  # PIL
        return np.asarray(image if image.mode in ("RGB", "L") else image.convert("RGB"))
    return np.ascontiguousarray(image)


def _count(name: str, value: Any, least: int) -> int:
    """A whole number, NumPy's too."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {number}")
    return number


def _json(values: Any) -> str:
    """JSON, of NumPy's numbers and arrays too."""
    def plain(value: Any):
        if isinstance(value, (np.generic, np.ndarray)):
            return value.tolist()
        raise TypeError(f"expected numbers, text or lists of them, not {value!r}")
    try:
        return json.dumps(values, allow_nan=False, default=plain)
    except ValueError:
        raise ValueError(f"numbers must be finite: {values}") from None


class MultiCrop:
    """Several views of an image, each by a pipeline of its own; the image is decoded once.

    `preset` is one of `preset_names()`; options are those of the library: global_size, global_count, global_scale, local_size, local_count, local_scale,
    mean, std, jitter, blur, interpolation, exact.
    """

    def __init__(self, preset: str = "swav", **options: Any):
        if not isinstance(preset, str) or preset.lstrip().startswith("{"):
            raise TypeError("MultiCrop takes the name of a preset; MultiCrop.from_json takes views as JSON")
        self._views = Views.preset(preset, _json(options))

    @classmethod
    def from_json(cls, text: Union[str, dict]) -> MultiCrop:
        """Views as `to_json` gives them: {"views": [{"count": 2, "pipeline": [{"op": "RandomResizedCrop", ...}, ...]}, ...]}."""
        made = cls.__new__(cls)
        made._views = Views.from_json(text if isinstance(text, str) else _json(text))
        return made

    def to_json(self) -> str:
        """Everything about the views as JSON, which `from_json` takes: all that decides what they are, but the key."""
        return self._views.to_json()

    def __getstate__(self) -> str:
        return self.to_json()

    def __setstate__(self, state: str) -> None:
        self._views = Views.from_json(state)

    def __repr__(self) -> str:
        return f"MultiCrop.from_json({self.to_json()!r})"

    def __len__(self) -> int:
        return self._views.count

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """Channels, height and width of every view."""
        return [self._views.shape(v) for v in range(len(self))]

    @property
    def fused(self) -> bool:
        """Whether views are made by vector instructions."""
        return self._views.fused

    def __call__(self, image: Image, key: Key | None = None, decode: DecodeOptions | None = None) -> list[np.ndarray]:
        """The views, float32 arrays [channels, height, width]. `image`: bytes of a file, a path, an array [height, width, 3] of uint8, or a PIL image.

        Without a key, as a transform of torchvision's data sets is called, the views are others at every call: the sample is drawn from Python's
        `random`, which a DataLoader seeds in each of its workers, so they change with num_workers. `Folder` gives keys.
        Raises ImageError for an image that cannot be decoded, OSError for a file that cannot be read.
        """
        out = [np.empty(shape, np.float32) for shape in self.shapes]
        self.into(image, (0, 0, random.getrandbits(63)) if key is None else key, out, decode)
        return out

    def into(self, image: Image, key: Key, out: Sequence[np.ndarray], decode: DecodeOptions | None = None) -> int:
        """Writes the views into arrays that are there: float32, contiguous, of `shapes`. The interpreter's lock is released meanwhile.

        Returns how many warnings libjpeg had of an image that it decoded all the same (corrupt data in the middle); `DecodeOptions.strict` refuses it.
        """
        return self._views.into(_source(image), key, out, decode or DecodeOptions())

    def drawn(self, size: tuple[int, int], key: Key, view: int) -> list[dict]:
        """What is drawn for a view of an image of (height, width): a dictionary for each step."""
        return json.loads(self._views.drawn(size, key, view))

    def replay(self, image: Image, view: int, drawn: list[dict], decode: DecodeOptions | None = None) -> np.ndarray:
        """One view with parameters that `drawn` gave."""
        out = np.empty(self._views.shape(view), np.float32)
        self._views.replay(_source(image), view, _json(drawn), out, decode or DecodeOptions())
        return out

    def sheet(self, image: Image, key: Key = (0, 0, 0), decode: DecodeOptions | None = None) -> np.ndarray:
        """A contact sheet to look at: the crops outlined on the image, and the views with what was drawn. uint8 [height, width, 3]."""
        return self._views.sheet(_source(image), key, decode or DecodeOptions())


class Batch(NamedTuple):
    """What a Loader yields."""
    views: list[np.ndarray]  #: an array [images, channels, height, width] of float32 for every view
    labels: np.ndarray  #: int64: the class folder's number, in the order of their names; -1 without such folders
    indices: np.ndarray  #: int64: the images' places in `Loader.paths`


def _images(root: str) -> list[str]:
    """Paths below `root` of all that is named as an image, as `unlabel pretrain --data` takes it: in the order of their bytes; what is hidden is left
    out, links are followed, but not into a folder that they are inside of."""
    found, folders = [], [("", ())]
    while folders:
        below, above = folders.pop()
        here = os.path.join(root, below) if below else root
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in above:
            continue
        above += ((status.st_dev, status.st_ino),)
        with os.scandir(here) as entries:
            for entry in entries:
                link = entry.is_symlink()  # it may lead nowhere: then an image's name makes it one, which cannot be read
                if entry.name.startswith("."):
                    continue
                if os.path.isdir(entry.path) if link else entry.is_dir():
                    folders.append((os.path.join(below, entry.name), above))
                elif entry.name.lower().endswith(Folder.EXTENSIONS) and (not os.path.exists(entry.path) or os.path.isfile(entry.path)
                                                                         if link else entry.is_file()):
                    found.append(os.path.join(below, entry.name))
    return sorted(found, key=os.fsencode)


class Folder:
    """A folder of images as a data set of torch's DataLoader: `folder[i]` is (views, label), keyed by (seed, epoch, i).

        folder = Folder(root, MultiCrop("simclr"), seed=0)
        loader = torch.utils.data.DataLoader(folder, 256, shuffle=True, num_workers=8)
        for epoch in range(100):
            folder.set_epoch(epoch)
            for views, labels in loader: ...

    So an image's views are the same whatever the number of workers and the order, and others in every epoch. Files are decoded here, the fast way,
    without PIL.

    It holds the images that `unlabel pretrain --data` finds there, in the same order, so that both make the same views: all in the folder and below,
    but hidden ones (where the folder holds `train`, give that one). They are labelled when every one lies in one of at least two first-level folders,
    which are the classes; otherwise `classes` is empty and a label is -1. Raises ImageError with its path for an image that cannot be decoded,
    OSError for a file that cannot be read.
    """
    EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")

    def __init__(self, folder: Union[str, "os.PathLike[str]"], views: MultiCrop, *, seed: int = 0, decode: DecodeOptions | None = None):
        if not isinstance(views, MultiCrop):
            raise TypeError(f'views must be a MultiCrop, as MultiCrop("swav") gives it, not {views!r}')
        self.views, self.seed, self.decode = views, _count("seed", seed, 0), decode or DecodeOptions()
        self._epoch = multiprocessing.RawValue("q", 0)  # shared with workers that outlive an epoch (persistent_workers)
        self.root = os.fsdecode(folder)
        images = _images(self.root)
        tops = {path.partition(os.sep)[0] if os.sep in path else "" for path in images}
        self.classes: list[str] = sorted(tops, key=os.fsencode) if len(tops) > 1 and "" not in tops else []
        numbers = {name: label for label, name in enumerate(self.classes)}
        self.paths: list[str] = [os.path.join(self.root, path) for path in images]
        self.labels = np.asarray([numbers.get(path.partition(os.sep)[0], -1) for path in images], np.int64)
        if not self.paths:
            raise ValueError(f"{self.root} holds no images: no file there or below is named {' '.join(self.EXTENSIONS)}")

    def __getstate__(self) -> dict:
        # The shared number goes to workers that are being started, and to nobody else.
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
                 shuffle: bool = True, drop_last: bool = True, broken: str = "raise", prefetch: int = 2, decode: DecodeOptions | None = None):
        if broken not in ("raise", "skip"):
            raise ValueError(f"broken is 'raise' or 'skip', not {broken!r}")
        self.folder = Folder(folder, views, seed=seed, decode=decode)
        self.views, self.batch_size, self.seed = views, _count("batch_size", batch_size, 1), self.folder.seed
        self.threads = len(os.sched_getaffinity(0)) if threads is None else _count("threads", threads, 1)
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


def random_resized_crop(image: np.ndarray, size: int | tuple[int, int], key: Key, scale: tuple[float, float] = (0.08, 1.0),
                        ratio: tuple[float, float] = (3 / 4, 4 / 3), interpolation: str = "bilinear") -> np.ndarray:
    """The box that `random_resized_crop_box` draws for the key, resized to (height, width) or to a square by `resized_crop`."""
    return resized_crop(image, *random_resized_crop_box(image.shape[:2], key, scale=scale, ratio=ratio), size, interpolation)


def random_shift(images: np.ndarray, pad: int, key: Key, out: np.ndarray | None = None) -> np.ndarray:
    """DrQ's random shift of a batch [images, channels, height, width] of uint8: padded by `pad` pixels of the border, cropped at random.

    Image i gets the shift of (seed, epoch, sample + i). `out` has the images' shape and shares no memory with them: ValueError otherwise.
    """
    if out is None:
        out = np.empty_like(images)
    random_shift_into(images, pad, key, out)
    return out
