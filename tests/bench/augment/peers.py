#!/usr/bin/env python3
"""The SwAV pipeline as users of other libraries write it, timed on request; compare.py starts it and asks.

usage: peers.py FOLDER < lines of "WAY IMAGES SEED"; "ready WAY..." first, then the CPU milliseconds per image of each line's run.
JPEG bytes in, 2 x 224 + 6 x 96 float32 CHW out, one thread. A way whose library is missing is left out.
"""
import io
import math
import os
import pathlib
import random
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np  # noqa: E402

MEAN, STD = (0.485, 0.456, 0.406), (0.228, 0.224, 0.225)
VIEWS = [(2, 224, (0.14, 1.0)), (6, 96, (0.05, 0.14))]
photos = [path.read_bytes() for path in sorted(pathlib.Path(sys.argv[1]).glob("*.JPEG"))]
ways = {}


def torchvision_v2():
    import torch
    from PIL import Image
    from torchvision.transforms import v2
    torch.set_num_threads(1)

    def pipeline(size, scale):
        return v2.Compose([
            v2.RandomResizedCrop(size, scale=scale), v2.RandomHorizontalFlip(), v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8),
            v2.RandomGrayscale(0.2), v2.RandomApply([PilBlur()], 0.5), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])

    class PilBlur(torch.nn.Module):  # as SwAV's code has it
        def forward(self, image):
            from PIL import ImageFilter
            return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2)))

    pipelines = [(count, pipeline(size, scale)) for count, size, scale in VIEWS]

    def way(images, seed):
        torch.manual_seed(seed)
        random.seed(seed)
        for data in images:
            image = Image.open(io.BytesIO(data)).convert("RGB")
            for count, make in pipelines:
                for _ in range(count):
                    make(image)
    return {"torchvision-v2-pil": way}


def albumentations():
    import albumentations as A
    import cv2
    cv2.setNumThreads(1)

    def pipeline(size, scale):
        return A.Compose([
            A.RandomResizedCrop((size, size), scale=scale, interpolation=cv2.INTER_AREA), A.HorizontalFlip(p=0.5),
            A.ColorJitter(brightness=(0.2, 1.8), contrast=(0.2, 1.8), saturation=(0.2, 1.8), hue=(-0.2, 0.2), p=0.8), A.ToGray(p=0.2),
            A.GaussianBlur(blur_limit=(0, 0), sigma_limit=(0.1, 2.0), p=0.5), A.Normalize(MEAN, STD), A.pytorch.ToTensorV2()])

    import albumentations.pytorch  # noqa: F401
    pipelines = [(count, pipeline(size, scale)) for count, size, scale in VIEWS]

    def way(images, seed):
        random.seed(seed)
        np.random.seed(seed)
        for data in images:
            image = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
            for count, make in pipelines:
                for _ in range(count):
                    make(image=image)
    return {"albumentations-area": way}


def dali():
    from nvidia.dali import fn, pipeline_def, types

    batch = 10

    def source(stream):
        return lambda: [np.frombuffer(next(stream), np.uint8) for _ in range(batch)]

    @pipeline_def(batch_size=batch, num_threads=1, device_id=None, enable_conditionals=True, exec_async=False, exec_pipelined=False)
    def pipeline(feed):
        encoded = fn.external_source(feed, dtype=types.UINT8)
        image = fn.decoders.image(encoded, output_type=types.RGB)
        outputs = []
        for count, size, scale in VIEWS:
            for _ in range(count):
                view = fn.random_resized_crop(image, size=(size, size), random_area=scale, antialias=True)
                if fn.random.coin_flip(dtype=types.BOOL, probability=0.8):
                    view = fn.color_twist(view, brightness=fn.random.uniform(range=(0.2, 1.8)), contrast=fn.random.uniform(range=(0.2, 1.8)),
                                          saturation=fn.random.uniform(range=(0.2, 1.8)), hue=fn.random.uniform(range=(-72.0, 72.0)))
                if fn.random.coin_flip(dtype=types.BOOL, probability=0.2):
                    view = fn.hsv(view, saturation=0.0)
                if fn.random.coin_flip(dtype=types.BOOL, probability=0.5):
                    view = fn.gaussian_blur(view, sigma=fn.random.uniform(range=(0.1, 2.0)))
                outputs.append(fn.crop_mirror_normalize(view, mirror=fn.random.coin_flip(), mean=[255 * m for m in MEAN], std=[255 * s for s in STD],
                                                        dtype=types.FLOAT, output_layout="CHW"))
        return tuple(outputs)

    pending = []
    pipe = pipeline(source(iter(pending.pop, None)))
    pipe.build()

    def way(images, seed):
        del pending[:]
        pending.extend(list(images)[: len(images) // batch * batch])
        for _ in range(len(images) // batch):
            pipe.run()
    return {"dali-cpu": way}


def grid_sample():
    import torch
    from torch.nn import functional
    torch.set_num_threads(1)
    frames = torch.randint(0, 256, (128, 9, 84, 84), dtype=torch.uint8)

    def way(images, seed, pad=4):  # DrQ-v2's RandomShiftsAug; a batch for each of the images
        torch.manual_seed(seed)
        for _ in images:
            x = functional.pad(frames.float(), (pad,) * 4, "replicate")
            n, _, h, w = x.size()
            eps = 1.0 / h
            line = torch.linspace(-1.0 + eps, 1.0 - eps, h)[: h - 2 * pad]
            line = line.unsqueeze(0).repeat(h - 2 * pad, 1).unsqueeze(2)
            base = torch.cat([line, line.transpose(1, 0)], dim=2).unsqueeze(0).repeat(n, 1, 1, 1)
            shift = torch.randint(0, 2 * pad + 1, size=(n, 1, 1, 2)).float() * (2.0 / h)
            functional.grid_sample(x, base + shift, padding_mode="zeros", align_corners=False)
    return {"shift-grid-sample": way}


for make in (torchvision_v2, albumentations, dali, grid_sample):
    try:
        ways |= make()
    except ImportError as error:
        print(f"left out: {make.__name__}: {error}", file=sys.stderr)

print("ready", *ways, flush=True)
for line in sys.stdin:
    name, images, seed = line.split()
    first = int(seed) * int(images)
    chosen = [photos[(first + i) % len(photos)] for i in range(int(images))]
    begin = time.process_time()
    ways[name](chosen, int(seed))
    took = time.process_time() - begin
    print(1000 * took / len(chosen) if not math.isnan(took) else "nan", flush=True)
