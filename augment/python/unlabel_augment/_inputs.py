"""What images and arguments may come as, and what is wrong with them in a line."""
from __future__ import annotations

import ast
import functools
import inspect
import operator
import os
import re
import sys
from typing import Any, Callable

import numpy as np

from ._core import DecodeOptions

_CHANNELS = (1, 3, 4)


def source(image: Any):
    """What the compiled part takes for an image: the bytes of a file, a path, or an array [height, width] or [height, width, channels].

    - An array or tensor of one axis, of uint8, is the bytes of a file, as torchvision.io.read_file gives them. So is what a file object reads from
      its beginning, and the `bytes` (or else the file at `path`) of a dictionary, as Hugging Face's data sets give it undecoded.
    - Of three axes, a NumPy array is [height, width, channels] when its last axis is 1, 3 or 4, else [channels, height, width]; a tensor of torch is
      [channels, height, width] when its first axis is 1, 3 or 4, else [height, width, channels].
    - A PIL image is taken as `convert("RGB")` makes it, but those of 16 bits and more keep their numbers.
    """
    if isinstance(image, (bytes, bytearray, str, os.PathLike)):
        return image
    if isinstance(image, memoryview) and image.ndim == 1:
        return image
    if isinstance(image, dict):
        return source(_from_record(image))
    if _is_pil(image):
        return _from_pil(image)
    if hasattr(image, "read"):
        return _read(image)
    array = pixels(image)
    return memoryview(array) if isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype == np.uint8 else array


def pixels(image: Any):
    """The same of an image that needs no decoding."""
    if _is_pil(image):
        return _from_pil(image)
    torch = sys.modules.get("torch")
    is_tensor = torch is not None and isinstance(image, torch.Tensor)
    if isinstance(image, (bytes, bytearray, memoryview, str, os.PathLike)) and not getattr(image, "ndim", 1) > 1:
        raise TypeError(f"an image is an array here, or a PIL image, not {shown(image)}: decode(...) makes an array of a file")
    if is_tensor:
        array = _from_tensor(image)
    elif hasattr(image, "__dlpack__") and not hasattr(image, "__array__"):
        array = np.from_dlpack(image)
    else:
        array = np.asarray(image)
    if array.dtype == object or array.ndim == 0:
        raise TypeError(f"an image is bytes, a path, an open file, an array, a tensor or a PIL image, not {shown(image)}")
    if array.ndim == 3 and array.shape[0] in _CHANNELS and (is_tensor or array.shape[2] not in _CHANNELS):
        array = array.transpose(1, 2, 0)
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="), copy=False)


def decode_options(decode: Any) -> DecodeOptions:
    """DecodeOptions, also from a dictionary of them or None."""
    if decode is None:
        return DecodeOptions()
    if isinstance(decode, DecodeOptions):
        return decode
    if isinstance(decode, dict):
        return DecodeOptions(**decode)
    raise TypeError(f"decode is DecodeOptions(...) or a dictionary of them, not {shown(decode)}")


def count(name: str, value: Any, least: int) -> int:
    """A whole number, NumPy's too."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {number}")
    return number


def shown(value: Any) -> str:
    """A few words about what was given."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"an array of {value.dtype} {tuple(value.shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _is_pil(image: Any) -> bool:
    return hasattr(image, "convert") and hasattr(image, "tobytes") and hasattr(image, "mode")


def _from_pil(image: Any) -> np.ndarray:
    if image.mode.startswith("I;16"):
        return np.ascontiguousarray(np.asarray(image).astype(np.uint16, copy=False))
    if image.mode == "I":  # of 16 bits too, as older versions of Pillow open such files
        numbers = np.asarray(image)
        return numbers.astype(np.uint16) if 0 <= numbers.min() and numbers.max() <= 65535 else numbers
    return np.ascontiguousarray(image if image.mode in ("RGB", "L", "F") else image.convert("RGB"))


def _from_tensor(image: Any) -> np.ndarray:
    if image.device.type != "cpu":
        raise TypeError(f"an image lies in the memory of the CPU; this tensor is on {image.device}: give image.cpu()")
    if image.requires_grad:
        raise TypeError("an image is no tensor that requires grad, as no gradient goes through its views: give image.detach()")
    try:
        return image.numpy()
    except (TypeError, RuntimeError):  # bfloat16, quantized, sparse ...
        raise TypeError(f"an image has numbers of uint8, uint16 or float32; this is {shown(image)}") from None


def _from_record(record: dict) -> Any:
    if record.get("bytes") is not None:
        return record["bytes"]
    if record.get("path") is not None:
        return record["path"]
    raise ValueError(f'a dictionary with an image has "bytes", or the "path" of a file; this has {shown(list(record))}')


def _read(file: Any) -> bytes:
    if callable(getattr(file, "seek", None)) and (not hasattr(file, "seekable") or file.seekable()):
        file.seek(0)
    read = file.read()
    if not isinstance(read, (bytes, bytearray)):
        raise TypeError(f'a file with an image is opened in binary mode, open(path, "rb"); this one read {shown(read)}')
    return read


def function(core: Callable) -> Callable:
    """A compiled function as its users call it: with an image as `pixels` takes it, and one line of text for wrong arguments."""
    signature = _signature(core)
    takes_image = next(iter(signature.parameters), None) == "image"

    @functools.wraps(core)
    def call(*args: Any, **named: Any):
        if takes_image and args:
            args = (pixels(args[0]), *args[1:])
        elif takes_image and "image" in named:
            named["image"] = pixels(named["image"])
        try:
            return core(*args, **named)
        except TypeError as error:
            if "incompatible function arguments" not in str(error):
                raise
        raise TypeError(_mistake(core.__name__, signature, args, named))

    call.__module__, call.__qualname__ = __package__, core.__name__  # where pickle finds it
    call.__signature__ = signature
    return call


def _signature(core: Callable) -> inspect.Signature:
    """The signature that nanobind wrote: `def name(image: ndarray[order='C'], size: int = \\0) -> ...`, where \\0 is the first of its defaults."""
    text, _, defaults = (*core.__nb_signature__[0], None)[:3]
    text = re.sub(r"\[[^\[\]]*=[^\[\]]*\]|\[\]", "", text.splitlines()[-1])  # what is said of arrays is no Python
    arguments = ast.parse(re.sub(r"\\(\d+)", r"\1", text) + ": ...").body[0].args
    names = arguments.posonlyargs + arguments.args
    without_default = len(names) - len(arguments.defaults)
    parameters = []
    for i, name in enumerate(names):
        default = inspect.Parameter.empty
        if i >= without_default:
            written = arguments.defaults[i - without_default]
            default = defaults[written.value] if defaults and isinstance(written, ast.Constant) else ...
        parameters.append(inspect.Parameter(name.arg, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default,
                                            annotation=ast.unparse(name.annotation) if name.annotation else inspect.Parameter.empty))
    return inspect.Signature(parameters)


def _mistake(name: str, signature: inspect.Signature, args: tuple, named: dict) -> str:
    """What is wrong with arguments that the compiled function does not take."""
    try:
        given = signature.bind(*args, **named).arguments
    except TypeError as error:
        return f"{name}: {error}; it takes ({', '.join(signature.parameters)})"
    for parameter, value in given.items():
        kind = signature.parameters[parameter].annotation
        if kind == "str" and not isinstance(value, str):
            return f"{name}: {parameter} must be text, not {shown(value)}"
        if kind == "int":
            try:
                whole = operator.index(value)
            except TypeError:
                return f"{name}: {parameter} must be a whole number, not {shown(value)}"
            if not -2**31 <= whole < 2**31:
                return f"{name}: {parameter} is out of range: {whole}"
        if kind == "float" and (isinstance(value, str) or not (hasattr(value, "__float__") or hasattr(value, "__index__"))):
            return f"{name}: {parameter} must be a number, not {shown(value)}"
        if kind.startswith(("tuple", "float |", "collections.abc.Sequence")):
            try:
                np.asarray(value, np.float64)
            except (TypeError, ValueError):
                return f"{name}: {parameter} must be {kind}, not {shown(value)}"
    kinds = ", ".join(f"{parameter}: {kind.annotation}" for parameter, kind in signature.parameters.items())
    return f"{name}({kinds}) does not take ({', '.join(shown(value) for value in given.values())})"
