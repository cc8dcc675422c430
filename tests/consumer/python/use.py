"""Uses an installed unlabel_augment as its users do. use.py WORK_DIR"""
import inspect
import io
import pathlib
import pickle
import random
import sys
import threading
import time

import numpy as np
import unlabel_augment as ua
from PIL import Image

work = pathlib.Path(sys.argv[1])


def refused(kind, act):
    try:
        act()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind}")


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

# DrQ's shift.
frames = generator.integers(0, 256, (32, 9, 20, 20), np.uint8)
shifted = ua.random_shift(frames, 4, (0, 0, 0))
padded = np.pad(frames, ((0, 0), (0, 0), (4, 4), (4, 4)), "edge")
for i in range(32):
    places = [(y, x) for y in range(9) for x in range(9) if np.array_equal(padded[i, :, y:y + 20, x:x + 20], shifted[i])]
    assert places, i
assert np.array_equal(ua.random_shift(frames, 4, (0, 0, 0)), shifted)

# What is wrong is said.
assert "did you mean 'swav'" in refused(ValueError, lambda: ua.MultiCrop("swaw"))
assert "did you mean 'global_size'" in refused(ValueError, lambda: ua.MultiCrop("swav", globl_size=3))
assert "truncated" in refused(ua.ImageError, lambda: views(photo.read_bytes()[:-500]))
refused(ua.ImageError, lambda: views(work / "nowhere.jpg"))
refused(ValueError, lambda: views(np.zeros((4, 4, 7), np.uint8)))
refused(ValueError, lambda: views.into(photo, (0, 0, 0), out[:3]))
refused(ValueError, lambda: views.into(photo, (0, 0, 0), [np.zeros(3, np.float32)] * 8))
refused(ValueError, lambda: views(np.zeros((4, 4, 3), np.float64)))
refused(TypeError, lambda: ua.resize(np.zeros((4, 4, 3), np.float64), (2, 2)))
refused(TypeError, lambda: views.into(photo, (0, 0, 0), [array.astype(np.float64) for array in out]))
refused(TypeError, lambda: ua.random_shift(frames.astype(np.float32), 4, (0, 0, 0)))
assert np.array_equal(views(pixels[:, ::-1], (1, 2, 3))[0], views(pixels[:, ::-1].copy(), (1, 2, 3))[0])

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
refused(ValueError, lambda: ua.Loader(work / "photos", views, 40))

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
    assert inspect.getdoc(getattr(ua, name)), f"{name} has no docstring"
folder = pathlib.Path(ua.__file__).parent
assert (folder / "py.typed").exists() and "def resize" in (folder / "_core.pyi").read_text()
print("unlabel_augment: all well, with", ua.instruction_set())
