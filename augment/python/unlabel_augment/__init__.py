"""Multi-crop augmentation of images on a CPU, in C++: views of an image are a function of a key (seed, epoch, sample) alone, whatever the
number of threads or workers.

    views = MultiCrop("swav")                      # or global_size=96, local_count=0, ...; or MultiCrop.from_json(...)
    a, b, *small = views("photo.jpg", key=(0, 0, 17))

    dataset = Folder(root, MultiCrop("simclr"))    # for torch's DataLoader: the same views whatever num_workers
    for batch in Loader(root, MultiCrop("swav"), batch_size=256, threads=8): ...
"""
from __future__ import annotations

import numpy as np

from . import _core, _inputs
from ._core import (DecodeOptions, ImageError, Views, adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, adjust_sharpness, affine,
                    augment_op, autocontrast, byol_adjust_brightness, byol_adjust_contrast, byol_adjust_hue, byol_adjust_saturation, center_crop,
                    cutmix, equalize, gaussian_blur, grayscale, horizontal_flip, instruction_set, mix_labels, mixup, normalize, pad_shift,
                    posterize, preset_names, random_resized_crop_box, random_shift_into, resize, resized_crop, rotate, sobel, solarize, to_gray,
                    to_planes, transform_names)
from ._folder import Batch, Folder, Loader
from ._multi_crop import Decode, Image, Key, MultiCrop

__all__ = ["Batch", "DecodeOptions", "Folder", "ImageError", "Loader", "MultiCrop", "adjust_brightness", "adjust_contrast", "adjust_hue",
           "adjust_saturation", "adjust_sharpness", "affine", "augment_op", "autocontrast", "byol_adjust_brightness", "byol_adjust_contrast",
           "byol_adjust_hue", "byol_adjust_saturation", "center_crop", "cutmix", "decode", "equalize", "gaussian_blur", "grayscale",
           "horizontal_flip", "instruction_set", "mix_labels", "mixup", "normalize", "pad_shift", "posterize", "preset_names", "random_resized_crop",
           "random_resized_crop_box", "random_shift", "resize", "resized_crop", "rotate", "sobel", "solarize", "to_gray", "to_planes",
           "transform_names"]


def __dir__() -> list[str]:
    return __all__


for _name in ("adjust_brightness", "adjust_contrast", "adjust_hue", "adjust_saturation", "adjust_sharpness", "affine", "augment_op", "autocontrast",
              "byol_adjust_brightness", "byol_adjust_contrast", "byol_adjust_hue", "byol_adjust_saturation", "center_crop", "cutmix", "equalize",
              "gaussian_blur", "grayscale", "horizontal_flip", "instruction_set", "mix_labels", "mixup", "normalize", "pad_shift", "posterize",
              "preset_names", "random_resized_crop_box", "random_shift_into", "resize", "resized_crop", "rotate", "sobel", "solarize", "to_gray",
              "to_planes", "transform_names"):
    globals()[_name] = _inputs.function(globals()[_name])

def decode(data: Image, options: Decode = None) -> np.ndarray:
    """An image, as a MultiCrop takes it, as uint8 RGB, [height, width, 3]."""
    return _core.decode(_inputs.source(data), _inputs.decode_options(options))


def random_resized_crop(image: Image, size: int | tuple[int, int], key: Key, scale: tuple[float, float] = (0.08, 1.0),
                        ratio: tuple[float, float] = (3 / 4, 4 / 3), interpolation: str = "bilinear") -> np.ndarray:
    """The box that `random_resized_crop_box` draws for the key, resized to (height, width) or to a square by `resized_crop`."""
    image = _inputs.pixels(image)
    return resized_crop(image, *random_resized_crop_box(image.shape[:2], key, scale=scale, ratio=ratio), size, interpolation)


def random_shift(images: np.ndarray, pad: int, key: Key, out: np.ndarray | None = None) -> np.ndarray:
    """DrQ's random shift of a batch [images, channels, height, width] of uint8: padded by `pad` pixels of the border, cropped at random.

    Image i gets the shift of (seed, epoch, sample + i). `out` has the images' shape and shares no memory with them: ValueError otherwise.
    """
    if out is None:
        out = np.empty_like(images) if isinstance(images, np.ndarray) else np.empty(np.shape(images), np.uint8)
    random_shift_into(images, pad, key, out)
    return out
