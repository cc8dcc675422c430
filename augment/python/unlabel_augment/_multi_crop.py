"""Several views of an image."""
from __future__ import annotations

import json
import random
from typing import Any, Sequence, Union

import numpy as np

from . import _inputs
from ._core import DecodeOptions, Views

Key = tuple[int, int, int]
Image = Any  # bytes, a path, an open file, an array, a tensor or a PIL image: _inputs.source
Decode = Union[DecodeOptions, dict, None]


def _json(values: Any) -> str:
    """JSON, of NumPy's numbers and arrays too."""
    def plain(value: Any):
        if hasattr(value, "tolist"):  # NumPy's and torch's
            return value.tolist()
        raise TypeError(f"expected numbers, text or lists of them, not {value!r}")
    try:
        return json.dumps(values, allow_nan=False, default=plain)
    except ValueError:
        raise ValueError(f"numbers must be finite: {values}") from None


class MultiCrop:
    """Several views of an image, each by a pipeline of its own; the image is decoded once.

    `preset` is one of `preset_names()`; options are those of the library: global_size, global_count, global_scale, local_size, local_count, local_scale,
    mean, std, jitter, blur, interpolation, crop_family, exact.
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

    def __call__(self, image: Image, key: Key | None = None, decode: Decode = None) -> list[np.ndarray]:
        """The views, float32 arrays [channels, height, width].

        `image` is a file: its bytes, its path, the file opened in binary mode, its bytes as an array or tensor of uint8 with one axis
        (torchvision.io.read_file), or {"bytes": ..., "path": ...}. Or it is pixels: a PIL image, or an array or tensor of uint8 or uint16, [height,
        width], or with an axis of 1, 3 (RGB) or 4 (alpha, which is dropped) channels. That is the last axis where its length is one of these, of a
        torch tensor the first. uint16 keeps its upper eight bits, and signed or floating-point numbers need `DecodeOptions.range`, which says which of
        them are black and white.

        Without a key, as a transform of torchvision's data sets is called, the views are others at every call: the sample is drawn from Python's
        `random`, which a DataLoader seeds in each of its workers, so they change with num_workers. `Folder` gives keys.
        Raises ImageError for an image that cannot be decoded, OSError for a file that cannot be read.
        """
        out = [np.empty(shape, np.float32) for shape in self.shapes]
        self.into(image, (0, 0, random.getrandbits(63)) if key is None else key, out, decode)
        return out

    def into(self, image: Image, key: Key, out: Sequence[np.ndarray], decode: Decode = None) -> int:
        """Writes the views into arrays that are there: float32, contiguous, of `shapes`, none of which shares memory with another or with the image;
        ValueError or TypeError otherwise. The interpreter's lock is released meanwhile.

        Returns how many warnings libjpeg had of an image that it decoded all the same (corrupt data in the middle); `DecodeOptions.strict` refuses it.
        """
        return self._views.into(_inputs.source(image), key, out, _inputs.decode_options(decode))

    def drawn(self, size: tuple[int, int], key: Key, view: int) -> list[dict]:
        """The random parameters of a view of an image of (height, width): a dictionary for each step."""
        return json.loads(self._views.drawn(size, key, self._view(view)))

    def replay(self, image: Image, view: int, drawn: list[dict], decode: Decode = None) -> np.ndarray:
        """One view with parameters from `drawn`: the same floats again."""
        out = np.empty(self._views.shape(self._view(view)), np.float32)
        self._views.replay(_inputs.source(image), view, _json(drawn), out, _inputs.decode_options(decode))
        return out

    def _view(self, view: int) -> int:
        number = _inputs.count("view", view, 0)
        if number >= len(self):
            raise ValueError(f"there is no view {number} of {len(self)}")
        return number

    def sheet(self, image: Image, key: Key = (0, 0, 0), decode: Decode = None) -> np.ndarray:
        """A contact sheet to look at: the crops outlined on the image, and the views with their parameters. uint8 [height, width, 3]."""
        return self._views.sheet(_inputs.source(image), key, _inputs.decode_options(decode))
