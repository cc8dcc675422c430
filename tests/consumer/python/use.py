"""Uses an installed unlabel_augment as its users do. use.py WORK_DIR"""
import inspect
import io
import itertools
import json
import os
import pathlib
import pickle
import random
import sys
import threading
import time
import warnings

import numpy as np
import unlabel_augment as ua
from PIL import Image, ImageEnhance, ImageOps

work = pathlib.Path(sys.argv[1])


def refused(kind, act):
    try:
        act()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind}")


def told(act):
    """What is made, and the warnings meanwhile."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = act()
    return made, [str(warning.message) for warning in caught]


# Photographs, more or less: two classes of eight.
generator = np.random.default_rng(0)
for label in ("a", "b"):
    (work / "photos" / label).mkdir(parents=True)
    for i in range(8):
        small = generator.integers(0, 256, (8, 10, 3), np.uint8)
        Image.fromarray(small).resize((120, 96), Image.Resampling.BICUBIC).save(work / "photos" / label / f"{i}.jpg", quality=90)
photo = work / "photos" / "a" / "0.jpg"
pixels = np.asarray(Image.open(photo))

# The same views from a path, bytes, an array and a PIL image; from a copy of the views; and again.
views = ua.MultiCrop("swav", global_size=64, local_size=32)
assert len(views) == 8 and views.shapes[0] == (3, 64, 64) and views.shapes[7] == (3, 32, 32)
crops = views(photo, key=(1, 2, 3))
assert [crop.shape for crop in crops] == views.shapes and all(crop.dtype == np.float32 for crop in crops)
for same in (views(str(photo), (1, 2, 3)), views(photo.read_bytes(), (1, 2, 3)), pickle.loads(pickle.dumps(views))(photo, (1, 2, 3))):
    assert all(np.array_equal(a, b) for a, b in zip(crops, same))
for like in (views(pixels, (1, 2, 3)), views(Image.open(photo), (1, 2, 3))):  # decoded before: other rounding
    assert all(np.abs(a - b).mean() < 0.02 for a, b in zip(crops, like))
assert not np.array_equal(crops[0], views(photo, (1, 3, 3))[0])
assert np.array_equal(views.replay(photo, 5, views.drawn((96, 120), (1, 2, 3), 5)), crops[5])
out = [np.full(shape, np.nan, np.float32) for shape in views.shapes]
address = out[0].ctypes.data
views.into(photo, (1, 2, 3), out)
assert address == out[0].ctypes.data and all(np.array_equal(a, b) for a, b in zip(crops, out))
random.seed(4)
first = views(photo)
random.seed(4)
assert np.array_equal(first[0], views(photo)[0]), "without a key Python's random decides"
assert views.sheet(photo).ndim == 3
assert ua.MultiCrop("swav", exact=True).fused is False
assert ua.MultiCrop("swav", global_size=np.int64(64), local_scale=np.array([0.1, 0.2]), jitter=np.float32(0.5)).shapes[0] == (3, 64, 64)
for like in (bytearray(photo.read_bytes()), memoryview(photo.read_bytes())):
    assert np.array_equal(views(like, (1, 2, 3))[0], crops[0]) and np.array_equal(ua.decode(like), pixels)

# DLPack shares the views' memory.
shared = np.from_dlpack(crops[0])
assert shared.ctypes.data == crops[0].ctypes.data and np.array_equal(shared, crops[0])


class Passing:
    """Pixels that nobody else keeps."""

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, **_):
        return np.full((1500, 1500, 3), 100, np.uint8).__dlpack__()


views._views.into(Passing(), (1, 2, 3), out)
assert all(np.array_equal(a, b) for a, b in zip(out, views(np.full((1500, 1500, 3), 100, np.uint8), (1, 2, 3))))

# Functions by themselves equal Pillow's.
image = Image.fromarray(pixels)
assert np.array_equal(ua.decode(photo.read_bytes()), pixels)
assert np.array_equal(ua.resize(pixels, (50, 33)), np.asarray(image.resize((33, 50), Image.Resampling.BILINEAR)))
assert np.array_equal(ua.resize(pixels, (50, 33), "bicubic"), np.asarray(image.resize((33, 50), Image.Resampling.BICUBIC)))
assert np.array_equal(ua.horizontal_flip(pixels), pixels[:, ::-1])
assert np.array_equal(ua.adjust_brightness(pixels, 1.0), pixels) and np.array_equal(ua.solarize(pixels, 0.5), np.where(pixels < 128, pixels, 255 - pixels))
for same in (ua.adjust_contrast(pixels, 1.0), ua.adjust_saturation(pixels, 1.0)):
    assert np.array_equal(same, pixels)
assert np.array_equal(ua.grayscale(pixels)[..., 0], np.asarray(image.convert("L")))
assert ua.gaussian_blur(pixels, 1.5).shape == ua.adjust_hue(pixels, 0.2).shape == pixels.shape
assert np.array_equal(ua.to_gray(pixels), np.asarray(image.convert("L")))
assert np.array_equal(ua.resize(pixels, 33), ua.resize(pixels, (33, 41))) and np.array_equal(ua.resize(pixels, np.int64(33)), ua.resize(pixels, 33))
assert np.array_equal(ua.center_crop(pixels, (40, 50)), pixels[28:68, 35:85])
assert np.array_equal(ua.center_crop(pixels, 40), pixels[28:68, 40:80])
assert np.array_equal(ua.center_crop(pixels, (98, 120))[1:97], pixels) and not ua.center_crop(pixels, (98, 120))[0].any()
assert len(ua.transform_names()) > 10 and "RandomShift" in ua.transform_names()
shifted = ua.MultiCrop.from_json({"views": [{"pipeline": [{"op": "CenterCrop", "size": 8}, {"op": "PadShift", "pad": 2}]}]})  # its former name
assert [step["op"] for step in json.loads(shifted.to_json())["views"][0]["pipeline"]] == ["CenterCrop", "RandomShift"]
assert np.array_equal(ua.pad_shift(pixels, 4, 4, 4), pixels) and np.array_equal(ua.pad_shift(pixels, 4, 8, 4)[:, :-4], pixels[:, 4:])
assert np.array_equal(ua.resized_crop(pixels, 10, 20, 50, 60, (33, 44)), ua.resize(pixels[10:60, 20:80], (33, 44)))
plain = ua.MultiCrop.from_json({"views": [{"count": 2, "pipeline": [{"op": "RandomResizedCrop", "size": 32, "scale": [0.3, 1]}]}], "exact": True})
for view in range(2):
    box = ua.random_resized_crop_box((96, 120), (1, 2, 3), view, scale=(0.3, 1))
    assert [plain.drawn((96, 120), (1, 2, 3), view)[0][side] for side in ("y", "x", "height", "width")] == list(box)
cropped = ua.random_resized_crop(pixels, (32, 32), (1, 2, 3), scale=(0.3, 1))
assert np.array_equal(ua.to_planes(cropped), plain(pixels, (1, 2, 3))[0])
mean, std = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]
levels = pixels.astype(np.float32) / 255
normalized = ua.normalize(pixels, mean, std)
assert normalized.dtype == np.float32 and np.allclose(normalized, (levels - mean) / std, atol=1e-5)
assert np.array_equal(ua.normalize(levels, mean, std), normalized)
assert np.array_equal(ua.to_planes(pixels, mean, std), normalized.transpose(2, 0, 1))
gray = np.pad(normalized.mean(2), 1)
across = gray[:, :-2] - gray[:, 2:]
assert np.allclose(ua.sobel(normalized)[..., 0], across[:-2] + 2 * across[1:-1] + across[2:], atol=1e-4)
white = np.full((9, 9), 255, np.uint8)
assert ua.gaussian_blur(white, 1.5)[0, 0] == 255 and ua.gaussian_blur(white, 1.5, border="zero")[0, 0] < 128
assert np.allclose(ua.byol_adjust_brightness(levels, 0.1), np.clip(levels + 0.1, 0, 1), atol=1e-6)
about = levels.mean((0, 1))
assert np.allclose(ua.byol_adjust_contrast(levels, 0.5), 0.5 * (levels - about) + about, atol=1e-5)
assert np.allclose(ua.byol_adjust_saturation(levels, 0), np.repeat(levels.max(2, keepdims=True), 3, 2), atol=1e-6)
assert np.allclose(ua.byol_adjust_hue(levels, 1), levels, atol=1e-4) and np.abs(ua.byol_adjust_hue(levels, 1 / 3) - levels[..., [2, 0, 1]]).max() < 1e-4
assert np.allclose(ua.adjust_brightness(levels, 0.5), levels * 0.5, atol=1e-6)
assert np.array_equal(ua.resize(pixels[:, ::-1], (20, 20)), ua.resize(pixels[:, ::-1].copy(), (20, 20)))

# DrQ's shift.
frames = generator.integers(0, 256, (32, 9, 20, 20), np.uint8)
shifted = ua.random_shift(frames, 4, (0, 0, 0))
padded = np.pad(frames, ((0, 0), (0, 0), (4, 4), (4, 4)), "edge")
for i in range(32):
    places = [(y, x) for y in range(9) for x in range(9) if np.array_equal(padded[i, :, y:y + 20, x:x + 20], shifted[i])]
    assert places, i
assert np.array_equal(ua.random_shift(frames, 4, (0, 0, 0)), shifted)
room = np.empty((33, *frames.shape[1:]), np.uint8)
assert np.array_equal(ua.random_shift(frames, 4, (0, 0, 0), out=room[:32]), shifted)

# Policies, and batches that are mixed.
assert np.array_equal(ua.rotate(pixels, 180), pixels[::-1, ::-1]) and np.array_equal(ua.affine(pixels, translate=(3, 0))[:, 3:], pixels[:, :-3])
assert np.array_equal(ua.posterize(pixels, 3), pixels & 0xe0) and np.array_equal(ua.augment_op(pixels, "Posterize", 3), pixels & 0xe0)
assert np.array_equal(ua.adjust_sharpness(pixels, 1), pixels) and ua.autocontrast(pixels // 2).max() == 255 and ua.equalize(pixels).std() > 60
policy = ua.MultiCrop.from_json({"views": [{"pipeline": [{"op": "CenterCrop", "size": 32}, {"op": "RandAugment"}, {"op": "TrivialAugmentWide"},
                                                         {"op": "Normalize"}, {"op": "RandomErasing", "p": 1}]}]})
first = policy(pixels, key=(0, 0, 5))[0]
assert first.shape == (3, 32, 32) and (first == 0).mean() > 0.01 and np.array_equal(first, policy(pixels, key=(0, 0, 5))[0])
batch = generator.random((4, 3, 8, 8), np.float32)
mixed = batch.copy()
share = ua.mixup(mixed, (0, 0, 1))
assert np.allclose(mixed, share * batch + (1 - share) * np.roll(batch, 1, 0), atol=1e-6) and 0 < share < 1
cut = batch.copy()
share = ua.cutmix(cut, (0, 0, 2))
assert np.isclose((cut == batch).mean(), share) and np.all((cut == batch) | (cut == np.roll(batch, 1, 0)))
assert np.allclose(ua.mix_labels([0, 1, 1, 2], 3, 0.75), [[.75, 0, .25], [.25, .75, 0], [0, 1, 0], [0, .25, .75]])
for key in ((0, 3), 5, "abc", (0, -1, 2), (0, 1, 2.5)):
    wrong = refused(ValueError, lambda: ua.mixup(batch, key))
    assert wrong == f"a key is (seed, epoch, sample), whole numbers from 0 to 2^64 - 1, not {key!r}", wrong
assert ua.mix_labels(np.arange(3), 3, 1).tolist() == np.eye(3).tolist()
assert "not an array of float64 (4, 3, 8, 8)" in refused(TypeError, lambda: ua.mixup(batch.astype(np.float64), (0, 0, 1)))
assert "contiguous" in refused(TypeError, lambda: ua.mixup(batch.transpose(0, 2, 3, 1), (0, 0, 1)))
frozen = batch.copy()
frozen.setflags(write=False)
assert "written to" in refused(TypeError, lambda: ua.cutmix(frozen, (0, 0, 1)))
assert np.array_equal(ua.affine(pixels, shear=5), ua.affine(pixels, shear=(5, 0))) and not np.array_equal(ua.affine(pixels, shear=5), pixels)
refused(ValueError, lambda: ua.mixup(batch, (0, 0, 1), alpha=0))
refused(ValueError, lambda: ua.mix_labels([3], 3, 0.5))
refused(ValueError, lambda: ua.rotate(pixels, 10, interpolation="bicubic"))
assert "did you mean 'ShearX'" in refused(ValueError, lambda: ua.augment_op(pixels, "SharX"))

# What is wrong is said.
assert "did you mean 'swav'" in refused(ValueError, lambda: ua.MultiCrop("swaw"))
for given in ({"views": []}, '{"views": []}'):
    assert "MultiCrop.from_json" in refused(TypeError, lambda: ua.MultiCrop(given))
assert ua.MultiCrop("swav").to_json() in repr(ua.MultiCrop("swav")) and "os" not in dir(ua)
assert "a PIL image" in refused(TypeError, lambda: ua.resize(object(), 8))
assert "fraction of white" in refused(ValueError, lambda: ua.solarize(pixels, 128))
assert "did you mean 'global_size'" in refused(ValueError, lambda: ua.MultiCrop("swav", globl_size=3))
assert "truncated" in refused(ua.ImageError, lambda: views(photo.read_bytes()[:-500]))
assert refused(FileNotFoundError, lambda: views(work / "nowhere.jpg")).endswith(f"'{work / 'nowhere.jpg'}'")
refused(IsADirectoryError, lambda: views(work))
refused(ValueError, lambda: views("a\0b"))
(work / "empty.jpg").touch()
assert "empty" in refused(ua.ImageError, lambda: views(work / "empty.jpg"))
assert np.array_equal(ua.decode(pixels), pixels)
assert "jitter" in refused(ValueError, lambda: ua.MultiCrop("swav", jitter=float("nan")))
assert "object" in refused(TypeError, lambda: ua.MultiCrop("swav", jitter=object()))
for adjust in (ua.adjust_brightness, ua.adjust_contrast, ua.adjust_saturation):
    for factor in (-0.5, float("nan"), float("inf"), 1e300):
        assert "finite and >= 0" in refused(ValueError, lambda: adjust(pixels, factor))
for adjust in (ua.byol_adjust_brightness, ua.byol_adjust_contrast, ua.byol_adjust_saturation, ua.byol_adjust_hue):
    refused(ValueError, lambda: adjust(levels, float("nan")))
    assert "divide by 255" in refused(ValueError, lambda: adjust(pixels, 0.5))
refused(ValueError, lambda: ua.resized_crop(pixels, 0, 0, 97, 20, (8, 8)))
refused(ValueError, lambda: ua.random_resized_crop(pixels, (8, 8), (0, 0, 0), scale=(0, float("nan"))))
assert "(height, width), not [3, 4, 5]" in refused(ValueError, lambda: ua.resize(pixels, [3, 4, 5]))
assert "(height, width), not 96" in refused(ValueError, lambda: ua.random_resized_crop_box(96, (0, 0, 0)))
assert "(seed, epoch, sample)" in refused(ValueError, lambda: views(photo, key=(0, 3)))
refused(ValueError, lambda: ua.pad_shift(pixels, 1 << 30, 0, 0))
refused(ValueError, lambda: ua.normalize(pixels, mean, [1, 1, 0]))
refused(ValueError, lambda: ua.gaussian_blur(pixels, 1, border="wrap"))
assert "shares memory" in refused(ValueError, lambda: ua.random_shift(frames, 4, (0, 0, 0), out=frames))
assert "shares memory" in refused(ValueError, lambda: ua.random_shift(room[:32], 4, (0, 0, 0), out=room[1:]))
for shape in ((32, 9, 400), (16, 18, 20, 20), (31, 9, 20, 20)):
    assert "another shape" in refused(ValueError, lambda: ua.random_shift(frames, 4, (0, 0, 0), out=np.empty(shape, np.uint8)))
refused(ValueError, lambda: views(np.zeros((5, 6, 7), np.uint8)))
refused(ValueError, lambda: views.into(photo, (0, 0, 0), out[:3]))
refused(ValueError, lambda: views.into(photo, (0, 0, 0), [np.zeros(3, np.float32) for _ in range(8)]))
assert "give DecodeOptions(range=(low, high))" in refused(ValueError, lambda: views(np.zeros((4, 4, 3), np.float64)))
assert "line 1, column 11 is not valid JSON" in refused(ValueError, lambda: ua.MultiCrop.from_json('{"views": x'))
refused(TypeError, lambda: ua.resize(np.zeros((4, 4, 3), np.float64), (2, 2)))
refused(TypeError, lambda: views.into(photo, (0, 0, 0), [array.astype(np.float64) for array in out]))
refused(TypeError, lambda: ua.random_shift(frames.astype(np.float32), 4, (0, 0, 0)))
assert np.array_equal(views(pixels[:, ::-1], (1, 2, 3))[0], views(pixels[:, ::-1].copy(), (1, 2, 3))[0])

# What images come as.
encoded = photo.read_bytes()
with open(photo, "rb") as opened:
    opened.read(10)  # it is read from its beginning
    for like in (opened, io.BytesIO(encoded), np.frombuffer(encoded, np.uint8), {"bytes": encoded, "path": None}, {"bytes": None, "path": str(photo)}):
        assert np.array_equal(views(like, (1, 2, 3))[0], crops[0]) and np.array_equal(ua.decode(like), pixels)
with open(photo, "r", encoding="latin-1") as opened:
    assert "binary mode" in refused(TypeError, lambda: views(opened, (0, 0, 0)))
assert '"path" of a file' in refused(ValueError, lambda: views({"image": encoded}, (0, 0, 0)))
by_pixels = views(pixels, (1, 2, 3))
rgba = np.dstack([pixels, pixels[..., :1]])
for like in (pixels.transpose(2, 0, 1), rgba, rgba.transpose(2, 0, 1), Image.fromarray(rgba), pixels.astype(np.uint16) * 257,
             pixels.astype(">u2") * 256):
    assert all(np.array_equal(a, b) for a, b in zip(views(like, (1, 2, 3)), by_pixels)), like
strip = pixels[:3, :, :].copy()  # 3 rows of 120 pixels: the last axis is that of channels
assert np.array_equal(ua.decode(strip), strip) and ua.decode(strip.transpose(0, 2, 1)).shape == (3, 120, 3) and ua.decode(pixels[:, :3]).shape == (96, 3, 3)
# Of more than 8 bits: the same from a file, an array and a PIL image, by the upper bits or by a range.
deep = generator.integers(0, 4096, (40, 50), np.uint16)
Image.fromarray(deep).save(work / "deep.png")
Image.fromarray(deep).save(work / "deep.tif")
assert Image.open(work / "deep.png").mode == "I;16"
twelve_bits = ua.DecodeOptions(range=(0, 4095))
levels_of = {None: deep >> 8, twelve_bits: np.floor(deep * 255.0 / 4095 + 0.5).astype(np.uint8)}
for how, expected in levels_of.items():
    for like in (work / "deep.png", work / "deep.tif", deep, Image.open(work / "deep.png"), Image.fromarray(deep.astype(np.int32))):
        made, said = told(lambda: ua.decode(like, how))
        assert np.array_equal(made, np.repeat(expected[..., None], 3, 2)) and ("range" in " ".join(said)) == (how is None), (like, said)
_, said = told(lambda: views(work / "deep.png", (0, 0, 0)))
assert "16-bit images use 1/16 of their levels" in said[0] and not told(lambda: views(work / "deep.png", (0, 0, 0), twelve_bits))[1]
fractions = ua.DecodeOptions(range=(0, 1))
for like in (pixels / np.float64(255), pixels / np.float32(255)):
    assert np.array_equal(ua.decode(like, fractions), pixels)
assert np.array_equal(ua.decode(deep.astype(np.int16) - 1024, {"range": (-1024, 3071)}), np.repeat(levels_of[twelve_bits][..., None], 3, 2))
assert "this is an array of int64 (4, 4, 3)" in refused(TypeError, lambda: views(np.zeros((4, 4, 3), np.int64), (0, 0, 0)))
assert "float32 (2, 40, 50)" in refused(ValueError, lambda: views(np.zeros((2, 40, 50), np.float32), (0, 0, 0), fractions))
# Orientation, as PIL's: a TIFF always, others when asked for.
exif = Image.Exif()
exif[0x0112] = 6
for kind, always in (("tiff", True), ("png", False), ("webp", False), ("jpeg", False)):
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, kind, exif=exif, lossless=True)
    image = Image.open(stored)
    assert np.array_equal(ua.decode(stored), np.asarray(image.convert("RGB"))), kind
    upright = np.asarray(ImageOps.exif_transpose(Image.open(stored)).convert("RGB"))
    assert upright.shape == (120, 96, 3) and np.array_equal(ua.decode(stored, {"exif_orientation": True}), upright), kind
    assert (ua.decode(stored).shape == (120, 96, 3)) == always, kind

# PIL images and gray ones in free functions, and the axes that came in.
image = Image.fromarray(pixels)
assert np.array_equal(ua.resize(image, (50, 33)), ua.resize(pixels, (50, 33))) and np.array_equal(ua.resize(pixels.transpose(2, 0, 1), 33), ua.resize(pixels, 33))
assert np.array_equal(ua.random_resized_crop(image, 32, (1, 2, 3)), ua.random_resized_crop(pixels, 32, (1, 2, 3)))
gray = pixels[..., 0].copy()
of_mode_l = Image.fromarray(gray)
for made, by_pillow in ((ua.adjust_brightness(gray, 1.7), ImageEnhance.Brightness(of_mode_l).enhance(1.7)),
                        (ua.adjust_contrast(gray, 0.4), ImageEnhance.Contrast(of_mode_l).enhance(0.4)),
                        (ua.adjust_saturation(gray, 0.3), of_mode_l), (ua.adjust_hue(gray, 0.2), of_mode_l),
                        (ua.solarize(gray), ImageOps.solarize(of_mode_l, 128)), (ua.posterize(gray, 3), ImageOps.posterize(of_mode_l, 3)),
                        (ua.equalize(gray), ImageOps.equalize(of_mode_l)), (ua.autocontrast(gray), ImageOps.autocontrast(of_mode_l)),
                        (ua.adjust_sharpness(of_mode_l, 2.5), ImageEnhance.Sharpness(of_mode_l).enhance(2.5)),
                        (ua.to_gray(gray), of_mode_l)):
    assert np.array_equal(made, np.asarray(by_pillow)), by_pillow
assert np.array_equal(ua.grayscale(gray), np.repeat(gray[..., None], 3, 2))
for made in (ua.gaussian_blur(gray[..., None], 1), ua.resize(gray[..., None], 20), ua.adjust_brightness(gray[..., None], 0.5), ua.rotate(gray[..., None], 9)):
    assert made.ndim == 3 and made.shape[2] == 1
assert ua.gaussian_blur(gray, 1).ndim == 2

# Outputs are exactly the views' arrays.
flat_out = np.empty(sum(a.size for a in out), np.float32)
for wrong in ([np.empty((64, 64, 3), np.float32), *out[1:]], [out[0][:, ::-1], *out[1:]], [out[0].reshape(-1), *out[1:]],
              [out[0].astype(np.float64), *out[1:]], [np.broadcast_to(np.float32(0), (3, 64, 64)), *out[1:]]):
    assert "view 0 goes into an array of float32 (3, 64, 64), contiguous, which may be written to, not " in refused(
        (TypeError, ValueError), lambda: views.into(photo, (0, 0, 0), wrong))
assert "the array of view 0 shares memory with the array of view 1" in refused(ValueError, lambda: views.into(photo, (0, 0, 0), [out[0], out[0], *out[2:]]))
shifted_by_one = [flat_out[i:i + 3 * 64 * 64].reshape(3, 64, 64) for i in (0, 3 * 64 * 64 - 1)]
assert "shares memory" in refused(ValueError, lambda: views.into(photo, (0, 0, 0), [*shifted_by_one, *out[2:]]))
touching = [flat_out[i:i + 3 * 64 * 64].reshape(3, 64, 64) for i in (0, 3 * 64 * 64)]
assert views.into(photo, (1, 2, 3), [*touching, *out[2:]]) == 0 and np.array_equal(touching[1], crops[1])
own_memory = np.empty((3, 64, 64), np.float32)
assert "the image shares memory" in refused(ValueError, lambda: views.into(own_memory.view(np.uint8).reshape(64, -1, 3), (0, 0, 0), [own_memory, *out[1:]]))
assert "`out` is a list of arrays" in refused(TypeError, lambda: views.into(photo, (0, 0, 0), 5))

# Wrong arguments are told in a line that names them, whatever the function.
for part, act in (("missing a required argument: 'size'", lambda: ua.resize(pixels)),
                  ("'sice'", lambda: ua.resize(pixels, 8, sice=3)),
                  ("too many positional arguments", lambda: ua.horizontal_flip(pixels, 1)),
                  ("angle must be a number, not 'x'", lambda: ua.rotate(pixels, "x")),
                  ("interpolation must be text, not 3", lambda: ua.rotate(pixels, 1, 3)),
                  ("bits must be a whole number, not 2.5", lambda: ua.posterize(pixels, 2.5)),
                  ("pad is out of range: 1099511627776", lambda: ua.pad_shift(pixels, 1 << 40, 0, 0)),
                  ("scale must be tuple[float, float], not 'ab'", lambda: ua.random_resized_crop_box((9, 9), (0, 0, 0), scale="ab")),
                  ("mean must be", lambda: ua.normalize(pixels, ["a"], [1])),
                  ("random_shift takes an array of uint8", lambda: ua.random_shift([[1]], 4, (0, 0, 0))),
                  ("array of uint8, contiguous", lambda: ua.random_shift(frames, 4, (0, 0, 0), out=frames.astype(np.float32))),
                  ("decode is DecodeOptions", lambda: views(photo, (0, 0, 0), decode=3)),
                  ("DecodeOptions has no 'strickt' (did you mean 'strict'?)", lambda: ua.DecodeOptions(strickt=True)),
                  ("by name", lambda: ua.DecodeOptions(True)),
                  ("view must be a whole number", lambda: views.drawn((9, 9), (0, 0, 0), "x")),
                  ("not <object object", lambda: views(object(), (0, 0, 0))),
                  ("preset_names", lambda: ua.preset_names(3))):
    text = refused(TypeError, act)
    assert part in text and "\n" not in text and "Invoked with" not in text, text
for part, act in (("'max_pixels' takes integer, not \"x\"", lambda: ua.DecodeOptions(max_pixels="x")),
                  ("'strict' takes yes/no, not 1", lambda: setattr(ua.DecodeOptions(), "strict", 1)),
                  ("'range' takes two numbers, low < high, not [5,5]", lambda: ua.DecodeOptions(range=(5, 5))),
                  ("'range' takes two numbers, low < high, not", lambda: ua.DecodeOptions(range=(0, float("nan")))),
                  ("no view 8 of 8", lambda: views.replay(photo, 8, []))):
    text = refused(ValueError, act)
    assert part in text and "\n" not in text, text
assert "178956970" in repr(ua.DecodeOptions()) and pickle.loads(pickle.dumps(twelve_bits)).range == (0, 4095)
assert "more than max_pixels, 100" in refused(ua.ImageError, lambda: views(photo, (0, 0, 0), {"max_pixels": 100}))
assert list(inspect.signature(ua.resize).parameters) == ["image", "size", "interpolation"] and pickle.loads(pickle.dumps(ua.resize)) is ua.resize

# A loader: every image once an epoch, the same whatever the threads, another order in another epoch.
def epoch(threads, number=0, **more):
    loader = ua.Loader(work / "photos", views, 4, threads=threads, seed=7, **more)
    loader.epoch = number
    return list(loader)


one, three = epoch(1), epoch(3, prefetch=1)
assert sorted(i for batch in one for i in batch.indices) == list(range(16)) and len(one) == 4
for a, b in zip(one, three):
    assert np.array_equal(a.indices, b.indices) and all(np.array_equal(x, y) for x, y in zip(a.views, b.views))
    assert np.array_equal(a.labels, a.indices // 8) and a.views[0].shape == (4, 3, 64, 64)
loader = ua.Loader(work / "photos", views, 4, seed=7)
assert np.array_equal(np.concatenate([b.indices for b in loader]), np.concatenate([b.indices for b in one]))
assert not np.array_equal(np.concatenate([b.indices for b in loader]), np.concatenate([b.indices for b in one])) and loader.epoch == 2
assert np.array_equal(one[0].views[0][0], views(loader.paths[one[0].indices[0]], (7, 0, int(one[0].indices[0])))[0])
for batch in loader:
    break  # an epoch that is left ends its threads
(work / "photos" / "a" / "3.jpg").write_bytes(b"\xff\xd8 no more")
assert "3.jpg" in refused(ua.ImageError, lambda: epoch(2))
whole = epoch(2, broken="skip")
assert 3 not in {int(i) for batch in whole for i in batch.indices} and len(whole) == 4
skipping = ua.Loader(work / "photos", views, 4, seed=7, broken="skip")
assert list(skipping) and list(skipping.skipped) == [3] and "3.jpg: " in skipping.skipped[3]
# A substitute is the next image, by the key of the broken one: no row is there twice.
rows = [(i, view) for batch in whole for i, view in zip(batch.indices, batch.views[0])]
order = np.concatenate([batch.indices for batch in one])
place = int(np.flatnonzero(order == 3)[0])
assert rows[place][0] == order[(place + 1) % 16] and np.array_equal(rows[place][1], views(loader.paths[rows[place][0]], (7, 0, 3))[0])
assert len({view.tobytes() for _, view in rows}) == 16
assert all(np.array_equal(a.views[0], b.views[0]) for a, b in zip(whole, epoch(1, broken="skip")))
# A file that cannot be read is no broken image.
os.rename(work / "photos" / "a" / "4.jpg", work / "4.jpg")
(work / "photos" / "a" / "4.jpg").symlink_to(work / "nowhere.jpg")
assert "4.jpg" in refused(FileNotFoundError, lambda: epoch(2, broken="skip"))
os.replace(work / "4.jpg", work / "photos" / "a" / "4.jpg")

# Damage that libjpeg only warns of is told.
(work / "warned" / "a").mkdir(parents=True)
whole = photo.read_bytes()
(work / "warned" / "a" / "0.jpg").write_bytes(whole)
(work / "warned" / "a" / "1.jpg").write_bytes(whole[:-900] + b"\x55" * 40 + b"\xff\xd3" + whole[-858:])
assert views.into(work / "warned" / "a" / "0.jpg", (0, 0, 0), out) == 0 < views.into(work / "warned" / "a" / "1.jpg", (0, 0, 0), out)
warned = ua.Loader(work / "warned", views, 2)
assert len(list(warned)) == 1 and list(warned.warnings) == [1] and warned.warnings[1] > 0
strict = ua.DecodeOptions(strict=True)
assert "1.jpg" in refused(ua.ImageError, lambda: list(ua.Loader(work / "warned", views, 2, decode=strict)))
assert pickle.loads(pickle.dumps(strict)).strict

# Names of files need not be UTF-8.
odd = os.path.join(os.fsencode(work), b"odd\xff", b"\xe9.jpg")
os.mkdir(os.path.dirname(odd))
pathlib.Path(os.fsdecode(odd)).write_bytes(whole)
assert len(list(ua.Loader(os.path.dirname(os.fsdecode(odd)), views, 1))) == 1
assert np.array_equal(views(os.fsdecode(odd), (1, 2, 3))[0], crops[0])

# A folder as a data set: a view is a function of (seed, epoch, index).
folder = ua.Folder(work / "photos", views, seed=7)
assert len(folder) == 16 and folder.classes == ["a", "b"] and folder[12][1] == 1 and folder[-1][1] == 1
for batch in one:
    for row, i in enumerate(batch.indices):
        if i != 3:
            assert all(np.array_equal(a[row], b) for a, b in zip(batch.views, folder[i][0])), "as a Loader's"
assert "3.jpg" in refused(ua.ImageError, lambda: folder[3])
refused(IndexError, lambda: folder[16])
(work / "none").mkdir()
refused(ValueError, lambda: ua.Folder(work / "none", views))
refused(FileNotFoundError, lambda: ua.Folder(work / "nowhere", views))
# As the program lists a folder (data/image/image_folder.h).
listed = work / "listed"
for name in ("a-b/1.jpg", "a/UP.JPG", "a/deep/2.PbM", "a/.hidden.jpg", ".cache/3.jpg", "a/notes.txt", "@eaDir/1.jpg"):
    (listed / name).parent.mkdir(parents=True, exist_ok=True)
    (listed / name).write_bytes(b"")
(listed / "a" / "gone.png").symlink_to("nowhere")
(listed / "a" / "loop.png").symlink_to("loop.png")
(listed / "a" / "round").symlink_to("..")
os.mkfifo(listed / "a" / "pipe.jpg")
found = ua.Folder(listed, views)
assert [os.path.relpath(path, listed) for path in found.paths] == ["a-b/1.jpg", "a/UP.JPG", "a/deep/2.PbM", "a/gone.png", "a/loop.png"]
assert found.classes == ["a", "a-b"] and found.labels.tolist() == [1, 0, 0, 0, 0]
(listed / "top.jpeg").write_bytes(b"")
found = ua.Folder(listed, views, classes=[])
assert len(found) == 6 and found.classes == [] and set(found.labels.tolist()) == {-1} and found.paths[5] == str(listed / "top.jpeg")


# Classes and labels as torchvision's ImageFolder has them.
def laid_out(name, *files):
    for file in files:
        (work / name / file).parent.mkdir(parents=True, exist_ok=True)
        (work / name / file).write_bytes(whole)
    return work / name


gap = laid_out("gap", "a/1.jpg", "c/1.jfif")
(gap / "b" / ".hidden").mkdir(parents=True)
for kind in (lambda **more: ua.Folder(gap, views, **more), lambda **more: ua.Loader(gap, views, 1, **more)):
    assert "folders without images, b:" in refused(ValueError, kind)
    for kept in (kind(allow_empty=True), kind(classes=["a", "b", "c"])):
        assert kept.classes == ["a", "b", "c"] and kept.labels.tolist() == [0, 2]
    assert kind(classes=["c", "z", "a"]).labels.tolist() == [2, 0]
    assert "not among the given classes: c" in refused(ValueError, lambda: kind(classes=["a", "b"]))
    assert "not 'ab'" in refused(TypeError, lambda: kind(classes="ab"))
beside, said = told(lambda: ua.Folder(laid_out("beside", "a/1.jpg", "c/1.jpg", "cover.jpg"), views))
assert beside.classes == ["a", "c"] and beside.labels.tolist() == [0, 1] and "left out: cover.jpg" in said[0], said
one_class, said = told(lambda: ua.Folder(laid_out("one_class", "a/1.jpg", "a/2.jpg"), views))
assert one_class.classes == ["a"] and one_class.labels.tolist() == [0, 0] and not said
flat, said = told(lambda: ua.Folder(laid_out("flat", "1.jpg", "2.jpe"), views))
assert flat.classes == [] and flat.labels.tolist() == [-1, -1] and not said
# Folders of splits are not taken for classes.
splits = laid_out("splits", "train/a/1.jpg", "train/b/1.jpg", "Validation/a/1.jpg")
assert "train, Validation:" in refused(ValueError, lambda: ua.Folder(splits, views))
assert ua.Folder(splits, views, split="train").classes == ["a", "b"]
held_out = ua.Loader(splits, views, 1, split="test", classes=["a", "b"])
assert held_out.paths == [str(splits / "Validation" / "a" / "1.jpg")] and held_out.classes == ["a", "b"]
assert ua.Folder(splits, views, split="all").classes == ["Validation", "train"]
refused(ValueError, lambda: ua.Folder(splits, views, split="valid"))
partly = laid_out("partly", "alps/1.jpg", "beach/1.jpg", "test/1.jpg")
assert "test:" in refused(ValueError, lambda: ua.Folder(partly, views))
without_test, said = told(lambda: ua.Folder(partly, views, split="train"))
assert without_test.classes == ["alps", "beach"] and "test/" in said[0], said
assert ua.Folder(partly, views, classes=["alps", "beach", "test"]).labels.tolist() == [0, 1, 2]
# Further down a folder with one for training and one for testing gives the former's images, as in the program.
nested = laid_out("nested", "bottle/train/good/1.jpg", "bottle/test/bad/1.jpg", "bottle/mask/1.jpg", "bottle/1.jpg", "nut/test/1.jpg")
found, said = told(lambda: ua.Folder(nested, views))
assert found.paths == [str(nested / "bottle/train/good/1.jpg"), str(nested / "nut/test/1.jpg")] and "bottle/train" in said[0], said
assert "named as test images are taken all the same" in said[1] and "nut/test" in said[1], said
deep = laid_out("deep", "train/1.jpg", "test/bottle/train/1.jpg", "test/bottle/test/2.jpg")
assert "for training and for testing further down, in bottle" in refused(ValueError, lambda: ua.Folder(deep, views, split="test"))
years = laid_out("years", *(f"coco/{name}/1.jpg" for name in ("train2014", "train2017", "val2014", "val2017")), "other/1.jpg")
found, said = told(lambda: ua.Folder(years, views))
assert found.paths == [str(years / path) for path in ("coco/train2014/1.jpg", "coco/train2017/1.jpg", "other/1.jpg")] and len(said) == 1, said
# What is passed over is told: another format, an archive, a class whose disk is not mounted.
passed = laid_out("passed", "cat/1.jpg", "dog/1.jpg", "dog/2.heic", "dog/3.HEIC", "fox.zip")
(passed / "horse").symlink_to("nowhere")
found, said = told(lambda: ua.Folder(passed, views))
assert found.classes == ["cat", "dog"] and len(said) == 3, said
assert any("2 images in formats that are not read: dog/2.heic, dog/3.HEIC" in note for note in said), said
assert any("1 archives, which are not unpacked: fox.zip" in note for note in said), said
assert any("1 links to nowhere (is a disk not mounted?): horse" in note for note in said), said
# Folders that hold links to each other are no data set; one that many link to is.
common = laid_out("common", "common/1.jpg", *(f"{i}/1.jpg" for i in range(40)))
mutual = laid_out("mutual", *(f"{i}/1.jpg" for i in range(7)))
for i in range(40):
    (common / str(i) / "common").symlink_to("../common")
for i, j in itertools.permutations(range(7), 2):
    (mutual / str(i) / str(j)).symlink_to(f"../{j}")
assert len(ua.Folder(common, views)) == 81
assert "remove the links between folders" in refused(ValueError, lambda: ua.Folder(mutual, views))


def while_closed(root, *closed, act):
    """What `act` gives while these folders may not be read; None where that cannot be tried."""
    for name in closed:
        (root / name).chmod(0)
    as_root = os.geteuid() == 0
    if as_root:
        os.seteuid(65534)
    try:
        if not os.access(root, os.R_OK, effective_ids=True):
            print("a folder that may not be read is not tried: the work folder may not be read by others")
            return None
        return act()
    finally:
        if as_root:
            os.seteuid(0)
        for name in closed:
            (root / name).chmod(0o755)


def split_of(root, split):
    return lambda: told(lambda: ua.Folder(root, views, split=split))


# A folder beside train/ that may not be read counts as one without images, and is told.
for name in "more", "more/inner":
    closed = laid_out(f"closed_{name}", "train/1.jpg", "val/1.jpg", f"{name}/1.jpg")
    if tried := while_closed(closed, name, act=split_of(closed, "train")):
        found, said = tried
        assert len(found) == 1 and len(said) == 1 and f"more/ of {closed} may not be read" in said[0], said
# Those that are forbidden hide none of the images beside them, in whatever order the system lists them: bird/ holds images.
inner = [f"bird/closed{i}" for i in range(16)]
hiding = laid_out("hiding", "train/1.jpg", *(f"{name}/1.jpg" for name in [*inner[:8], "bird/m", *inner[8:]]))
while_closed(hiding, *inner, act=lambda: refused(PermissionError, split_of(hiding, "train")))
laid_out("hiding", "val/1.jpg")
if tried := while_closed(hiding, *inner, act=split_of(hiding, "train")):
    assert len(tried[1]) == 1 and "left out is bird/" in tried[1][0], tried
# Test images that may not be read are no missing ones; of several folders the first that holds some is taken, and the others are told.
shut = laid_out("shut", "train/1.jpg", "test/1.jpg")
while_closed(shut, "test", act=lambda: refused(PermissionError, split_of(shut, "test")))
two_shut = laid_out("two_shut", "train/1.jpg", "test/1.jpg", "val/2.jpg")
while_closed(two_shut, "test", "val", act=lambda: refused(PermissionError, split_of(two_shut, "test")))
if tried := while_closed(two_shut, "test", act=split_of(two_shut, "test")):
    assert tried[0].paths == [str(two_shut / "val/2.jpg")] and f"test/ of {two_shut} may not be read" in tried[1][0], tried
only_tests = laid_out("only_tests", "photos/1.jpg", "test/1.jpg")
if reason := while_closed(only_tests, "photos", act=lambda: refused(ValueError, split_of(only_tests, "train"))):
    assert f"photos/ of {only_tests} may not be read" in reason, reason
# What is no regular file is refused, and waits for nobody.
os.mkfifo(work / "pipe.jpg")
refused(OSError, lambda: views(work / "pipe.jpg", (0, 0, 0)))


class Endless:
    def tolist(self):
        return Endless()


refused((TypeError, ValueError), lambda: ua.DecodeOptions(max_pixels=Endless()))
assert 1 <= ua.Loader(years, views, 1).threads <= len(os.sched_getaffinity(0))

before = folder[5][0][0]
folder.set_epoch(1)
assert folder.epoch == 1 and not np.array_equal(before, folder[5][0][0])
copied = pickle.loads(pickle.dumps(folder))
assert np.array_equal(copied[5][0][0], folder[5][0][0])
copied.set_epoch(2)
assert folder.epoch == 1
assert "drop_last=False" in refused(ValueError, lambda: ua.Loader(work / "photos", views, 40))
for wrong in ({"batch_size": 2.5}, {"batch_size": 2, "threads": "4"}, {"batch_size": 2, "views": "swav"}):
    assert repr([*wrong.values()][-1]) in refused(TypeError, lambda: ua.Loader(work / "photos", **{"views": views, **wrong}))
for wrong in ({"batch_size": 0}, {"batch_size": 2, "threads": 0}, {"batch_size": 2, "prefetch": 0}, {"batch_size": 2, "seed": -1}):
    assert f"{[*wrong][-1]} must be at least" in refused(ValueError, lambda: ua.Loader(work / "photos", views, **wrong))
refused(ValueError, lambda: folder.set_epoch(-1))
assert "no image 16 of 16" in refused(IndexError, lambda: folder[16])

# The interpreter's lock is released: another thread counts meanwhile.
large = io.BytesIO()
Image.fromarray(generator.integers(0, 256, (3000, 3000, 3), np.uint8)).save(large, "jpeg", quality=95)
ticks, done = [], threading.Event()


def count():
    while not done.is_set():
        ticks.append(time.monotonic())
        time.sleep(0.001)


counter = threading.Thread(target=count)
counter.start()
begin = time.monotonic()
views(large.getvalue(), (0, 0, 0))
end = time.monotonic()
done.set()
counter.join()
assert sum(begin < tick < end for tick in ticks) > 3, "nothing else ran"

for name in ua.__all__:
    thing = getattr(ua, name)
    assert inspect.getdoc(thing), f"{name} has no docstring"
    for method in vars(thing) if inspect.isclass(thing) else ():
        assert method.startswith("_") or method == "EXTENSIONS" or inspect.getdoc(getattr(thing, method)), f"{name}.{method} has no docstring"
for method in ("preset", "from_json", "to_json", "count", "replay"):
    assert inspect.getdoc(getattr(ua.Views, method)), f"Views.{method} has no docstring"
installed = pathlib.Path(ua.__file__).parent
stubs = (installed / "_core.pyi").read_text()
assert (installed / "py.typed").exists() and all(f"def {name}" in stubs for name in ("resize", "center_crop", "byol_adjust_hue", "sobel"))
print("unlabel_augment: all well, with", ua.instruction_set())
