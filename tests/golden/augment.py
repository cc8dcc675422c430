#!/usr/bin/env python3
"""Golden values for the augmentation library, from Pillow, torchvision, SciPy and colorsys.

    augment.py                                   writes augment_{8bit,policies,float}.safetensors beside this file
    augment.py --reference DIR --photos PHOTOS   writes DIR/*.safetensors from a folder of JPEGs, for the tests that want real photos
                                                 (UNLABEL_AUGMENT_REFERENCE=DIR); never commit those

A file holds arrays and, under __metadata__ "cases", a JSON list of {"op", "in", "out", parameters...}. Images are height x width x channels.
Made with torch 2.11, torchvision 0.26, Pillow 13.0, SciPy 1.17 (the reference needs no SciPy), on a processor with AVX2: without it
torch.linspace rounds some magnitudes otherwise.
"""
import argparse
import colorsys
import io
import json
import os
import random

import numpy as np
import PIL
import torch
import torchvision.transforms.functional as F
from PIL import Image, ImageFilter
from safetensors.numpy import save_file
from torchvision.transforms import RandAugment, RandomResizedCrop, TrivialAugmentWide
from torchvision.transforms.autoaugment import _apply_op

HERE = os.path.dirname(os.path.abspath(__file__))
FILTERS = {"bilinear": F.InterpolationMode.BILINEAR, "bicubic": F.InterpolationMode.BICUBIC}
SAMPLINGS = {"nearest": F.InterpolationMode.NEAREST, "bilinear": F.InterpolationMode.BILINEAR}


class Cases:
    def __init__(self):
        self.arrays, self.cases, self.named = {}, [], {}

    def image(self, name, array):
        array = self.arrays[name] = np.ascontiguousarray(array)
        self.named.setdefault((array.dtype.str, array.shape, array.tobytes()), name)
        return name

    def add(self, op, source, result, **parameters):
        result = np.ascontiguousarray(result)
        # Equal results share one array.
        out = self.named.setdefault((result.dtype.str, result.shape, result.tobytes()), f"{len(self.cases):03d}_{op}")
        self.arrays.setdefault(out, result)
        self.cases.append({"op": op, "in": source, "out": out, **parameters})

    def save(self, path):
        save_file(self.arrays, path, metadata={"cases": json.dumps(self.cases)})
        print(f"{path}: {len(self.cases)} cases, {os.path.getsize(path)} bytes")


def picture(height, width, seed):
    """Smooth colours with edges and noise, so that every operation has something to do."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    phase = rng.uniform(0, 6, (3, 3))
    image = np.stack([0.5 + 0.3 * np.sin(9 * x + p[0]) * np.cos(7 * y + p[1]) + 0.2 * (np.sin(40 * (x + y) + p[2]) > 0) for p in phase], -1)
    image += rng.normal(0, 0.08, image.shape)
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def tensor(array):
    return torch.from_numpy(array).permute(2, 0, 1)


def array(result):
    return result.permute(1, 2, 0).numpy()


def torchvision_8bit(cases, name):
    """Pillow and torchvision's functions of PIL images."""
    pil = Image.fromarray(cases.arrays[name])
    height, width = cases.arrays[name].shape[:2]
    for size in [(16, 20), (height, 11), (13, width), (45, 47), (height, width), (1, 1), (40, 9)]:
        for filter in FILTERS:
            cases.add("resize", name, np.asarray(F.resize(pil, size, FILTERS[filter])), size=size, filter=filter)
    for box in [(3, 5, 17, 11), (0, 0, 9, 24), (width - 8, height - 6, 8, 6), (7, 2, 1, 1)]:
        x, y, w, h = box
        for filter in FILTERS:
            cases.add("resized_crop", name, np.asarray(F.resized_crop(pil, y, x, h, w, (18, 18), FILTERS[filter])), box=box, size=(18, 18),
                      filter=filter)
    for side in (12, 31):
        cases.add("resize_short", name, np.asarray(F.resize(pil, side)), side=side)
    cases.add("resize_short", name + "_upright", np.asarray(F.resize(Image.fromarray(cases.arrays[name + "_upright"]), 12)), side=12)
    cases.add("resize_gray", name, np.asarray(F.resize(pil.convert("L"), (19, 23)))[..., None], size=(19, 23))
    for size in [(20, 20), (13, 30), (32, 20), (30, 41)]:
        cases.add("center_crop", name, np.asarray(F.center_crop(pil, size)), size=size)
    cases.add("horizontal_flip", name, np.asarray(F.hflip(pil)))
    for op, function, values in [("brightness", F.adjust_brightness, (0, 0.3, 1, 1.73)), ("contrast", F.adjust_contrast, (0, 0.21, 1, 1.8)),
                                 ("saturation", F.adjust_saturation, (0, 0.44, 1, 1.66)),
                                 ("hue", F.adjust_hue, (-0.5, -0.13, -0.001, 0, 0.07, 0.2, 0.5)), ("solarize", F.solarize, (128,))]:
        for value in values:
            cases.add(op, name, np.asarray(function(pil, value)), value=0.5 if op == "solarize" else value)
    cases.add("grayscale", name, np.asarray(F.to_grayscale(pil, 3)))
    cases.add("to_gray", name, np.asarray(F.to_grayscale(pil, 1))[..., None])
    for sigma in (0.1, 0.5, 1.0, 2.0):
        cases.add("blur", name, array(F.gaussian_blur(tensor(cases.arrays[name]), 23, sigma)), size=23, sigma=sigma, border="reflect")
    for pad, x, y in [(4, 4, 4), (4, 0, 8), (3, 6, 1)]:
        padded = np.pad(cases.arrays[name], ((pad, pad), (pad, pad), (0, 0)), mode="edge")
        cases.add("pad_shift", name, padded[y:y + height, x:x + width], pad=pad, x=x, y=y)
    mean, std = [0.485, 0.456, 0.406], [0.228, 0.224, 0.225]
    small = F.resize(pil, (9, 10))
    cases.add("to_planes", cases.image("small", np.asarray(small)), F.to_tensor(small).numpy())
    cases.add("normalized_planes", "small", F.normalize(F.to_tensor(small), mean, std).numpy(), mean=mean, std=std)


def resize_and_crop(cases):
    """A short side and a crop of the middle, of images that become very long, too."""
    for height, width, side, size in [(1, 3000, 256, (20, 24)), (3000, 1, 256, (24, 20)), (25, 35, 60, (40, 50)), (35, 25, 12, (9, 12)), (35, 25, 12, (9, 20)),
                                      (25, 35, 25, (11, 8)), (90, 31, 16, (16, 16))]:
        name = f"picture_{height}x{width}"
        pil = Image.fromarray(cases.arrays[cases.image(name, picture(height, width, height + width))])
        for filter in FILTERS:
            cases.add("resize_crop", name, np.asarray(F.center_crop(F.resize(pil, side, FILTERS[filter]), size)), side=side, size=size, filter=filter)


def space(policy, bins, height, width):
    """{operation: (magnitudes, signed)} of torchvision.transforms (v1)."""
    return RandAugment()._augmentation_space(bins, (height, width)) if policy == "rand" else TrivialAugmentWide()._augmentation_space(bins)


def magnitudes(cases, all_bins, sizes):
    for policy in ("rand", "wide"):
        for bins in all_bins:
            for height, width in sizes:
                for operation, (values, _) in space(policy, bins, height, width).items():
                    if values.ndim == 0 or (policy == "wide" or "Translate" not in operation) and (height, width) != sizes[0]:
                        continue
                    cases.add("magnitudes", "picture", values.numpy().astype(np.float32).reshape(-1, 1, 1), space=policy, operation=operation, bins=bins,
                              size=(height, width))


def policy(cases, name, policy, operation, bins, bin, sign, sampling):
    """One operation as RandAugment or TrivialAugmentWide of torchvision.transforms (v1) applies it."""
    pil = Image.fromarray(cases.arrays[name])
    magnitude = float(space(policy, bins, pil.height, pil.width)[operation][0][bin]) * sign
    result = _apply_op(pil, operation, magnitude, interpolation=SAMPLINGS[sampling], fill=[0, 0, 0])
    cases.add("policy", name, np.asarray(result), space=policy, operation=operation, bins=bins, bin=bin, sign=sign, sampling=sampling)


def policies(cases):
    """Where a rounding decides: a pixel more or less, a level at its threshold, a place between two pixels."""
    levels = cases.image("levels", np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2))
    strip = cases.image("strip", picture(2, 331, 8))
    large = cases.image("large", picture(60, 90, 9))
    for bin in range(31):
        policy(cases, levels, "rand", "Solarize", 31, bin, 1, "nearest")
    for sign in (1, -1):
        policy(cases, strip, "wide", "TranslateX", 31, 15, sign, "nearest")
        policy(cases, strip, "rand", "TranslateX", 31, 11, sign, "nearest")
        for operation in ("ShearX", "ShearY"):
            policy(cases, large, "rand", operation, 31, 25, sign, "bilinear")
            policy(cases, large, "wide", operation, 31, 30, sign, "bilinear")


def affine_8bit(cases, name):
    """torchvision's geometry and the operations of its policies, on PIL images."""
    pil = Image.fromarray(cases.arrays[name])
    height, width = cases.arrays[name].shape[:2]
    for sampling, mode in SAMPLINGS.items():
        for angle in (0, 90, 180, 33.3, -7.25, 270):
            cases.add("rotate", name, np.asarray(F.rotate(pil, angle, mode, fill=[51, 51, 51])), value=angle, sampling=sampling, fill=0.2)
        for angle, translate, scale, shear in [(0, (3, -5), 1, 0), (21.5, (0, 0), 0.7, 0), (0, (0, 0), 1.9, 0), (-40, (4, 2), 1.3, 17), (10, (-6, 1), 1, -35)]:
            cases.add("affine", name, np.asarray(F.affine(pil, angle, list(translate), scale, [shear, 0], mode, fill=[0, 0, 0])), angle=angle,
                      translate=translate, scale=scale, shear=shear, sampling=sampling, fill=0)
    for operation, magnitudes in {"Identity": (0,), "ShearX": (0.3, -0.99), "ShearY": (0.11, -0.3), "TranslateX": (9.7, -32), "TranslateY": (-4.2, 13),
                                  "Rotate": (30, -135), "Brightness": (0.9, -0.36), "Color": (0.99, -0.99), "Contrast": (0.9, -0.5),
                                  "Sharpness": (0.99, -0.7, 0), "Posterize": (8, 4, 2), "Solarize": (255, 127.5, 51, 0), "AutoContrast": (0,),
                                  "Equalize": (0,)}.items():
        for magnitude in magnitudes:
            for sampling, mode in SAMPLINGS.items():
                result = _apply_op(pil, operation, magnitude, interpolation=mode, fill=[255, 255, 255])
                cases.add("auto", name, np.asarray(result), operation=operation, magnitude=magnitude, sampling=sampling, fill=1)
    flat = cases.image(name + "_flat", np.full((5, 6, 3), 77, np.uint8))
    dark = cases.image(name + "_dark", (cases.arrays[name] // 3 + 20).astype(np.uint8))
    for source in (flat, dark):
        for operation in ("AutoContrast", "Equalize", "Sharpness"):
            result = _apply_op(Image.fromarray(cases.arrays[source]), operation, 0.4, interpolation=mode, fill=None)
            cases.add("auto", source, np.asarray(result), operation=operation, magnitude=0.4 if operation == "Sharpness" else 0, sampling="bilinear", fill=0)


def torchvision_float(cases, name):
    """torchvision's functions of float tensors."""
    image = tensor(cases.arrays[name])
    height, width = image.shape[1:]
    for size in [(9, 12), (height, 7), (26, 14)]:
        for filter in FILTERS:
            cases.add("resize", name, array(F.resize(image, size, FILTERS[filter], antialias=True)), size=size, filter=filter)
    for op, function, values in [("brightness", F.adjust_brightness, (0.3, 1.73)), ("contrast", F.adjust_contrast, (0.21, 1.8)),
                                 ("saturation", F.adjust_saturation, (0.44, 1.66)), ("hue", F.adjust_hue, (-0.5, -0.13, 0.2)),
                                 ("solarize", F.solarize, (0.5,))]:
        for value in values:
            cases.add(op, name, array(function(image, value)), value=value)
    cases.add("grayscale", name, array(F.rgb_to_grayscale(image, 3)))
    for size, sigma in [(23, 2.0), (9, 0.7)]:
        cases.add("blur", name, array(F.gaussian_blur(image, size, sigma)), size=size, sigma=sigma, border="reflect")
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    normalized = F.normalize(image, mean, std)
    cases.add("normalize", name, array(normalized), mean=mean, std=std)
    across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])  # DeepCluster's published weights
    filters = torch.stack([across, across.T])[:, None]
    gray = torch.nn.functional.conv2d(normalized[None], torch.full((1, 3, 1, 1), 1 / 3))
    cases.add("sobel", name, array(torch.nn.functional.conv2d(gray, filters, padding=1)[0]), mean=mean, std=std)


def byol_float(cases, name):
    """BYOL's definitions (arXiv:2006.07733, appendix B and the published code), in float64."""
    from scipy import ndimage
    image = cases.arrays[name].astype(np.float64)

    def hsv(change):
        pixels = [colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*pixel))) for pixel in image.reshape(-1, 3)]
        return np.array(pixels).reshape(image.shape)

    def add(op, result, **parameters):
        cases.add("byol_" + op, name, result.clip(0, 1).astype(np.float32), **parameters)

    mean = image.mean((0, 1))
    for value in (-0.31, 0.4):
        add("brightness", image + value, value=value)
    for value in (0.6, 1.37):
        add("contrast", value * (image - mean) + mean, value=value)
    for value in (0.8, 1.2):
        add("saturation", hsv(lambda h, s, v: (h, min(max(s * value, 0), 1), v)), value=value)
    for value in (-0.1, 0.07):
        add("hue", hsv(lambda h, s, v: ((h + value) % 1, s, v)), value=value)
    x = np.arange(-11, 12)
    for sigma in (0.1, 1.3, 2.0):
        kernel = np.exp(-(x ** 2) / (2 * sigma ** 2))
        kernel /= kernel.sum()
        blurred = ndimage.correlate1d(ndimage.correlate1d(image, kernel, 0, mode="constant"), kernel, 1, mode="constant")
        cases.add("blur", name, blurred.astype(np.float32), size=23, sigma=sigma, border="zero")


def sampled_weights(size, out):
    """Of tf.image.resize(..., BICUBIC) without antialiasing: [out, size]. Keys' cubic (a = -1/2) at 1024ths of a pixel around (o + 1/2) size / out - 1/2;
    what lies outside does not count."""
    a = -0.5
    weights = np.zeros((out, size))
    for o in range(out):
        at = (np.float32(o) + np.float32(0.5)) * (np.float32(size) / np.float32(out)) - np.float32(0.5)
        before = int(np.floor(at))
        offset = np.rint((at - np.float32(before)) * np.float32(1024)) / 1024
        for place in range(max(before - 1, 0), min(before + 3, size)):
            t = abs(place - before - offset)
            weights[o, place] = ((a + 2) * t - (a + 3)) * t * t + 1 if t < 1 else a * (((t - 5) * t + 8) * t - 4) if t < 2 else 0
        weights[o] /= weights[o].sum()
    return weights


def byol_crop(cases, name):
    """The crop of BYOL's released code (deepmind-research/byol/utils/dataset.py), in float64."""
    height, width = cases.arrays[name].shape[:2]
    for (x, y, w, h), size in [((3, 5, 17, 11), (18, 18)), ((0, 0, width, height), (7, 9)), ((0, 0, width, height), (40, 61)), ((width - 8, height - 6, 8, 6), (6, 8)),
                               ((7, 2, 1, 1), (3, 6)), ((4, 0, 3, height), (5, 16))]:
        levels = cases.arrays[name][y:y + h, x:x + w].astype(np.float64)
        resized = np.einsum("oy,yxc,px->opc", sampled_weights(h, size[0]), levels, sampled_weights(w, size[1]))
        cases.add("byol_crop", name, (resized / 255).clip(0, 1).astype(np.float32).transpose(2, 0, 1), box=(x, y, w, h), size=size)


def view(pil, drawn, mean, std):
    """One view by torchvision's functions of PIL images, from drawn parameters."""
    x, y, w, h = drawn["box"]
    pil = F.resized_crop(pil, y, x, h, w, drawn["size"])
    if drawn["flip"]:
        pil = F.hflip(pil)
    if drawn["jitter"]:
        functions = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]
        for index in drawn["order"]:
            pil = functions[index](pil, drawn["factors"][index])
    if drawn["gray"]:
        pil = F.to_grayscale(pil, 3)
    return F.normalize(F.to_tensor(pil), mean, std).numpy()


def draw(width, height, size, rng):
    w, h = rng.randint(max(1, width // 4), width), rng.randint(max(1, height // 4), height)
    return {"box": (rng.randint(0, width - w), rng.randint(0, height - h), w, h), "size": size, "flip": rng.random() < 0.5,
            "jitter": rng.random() < 0.8, "order": rng.sample(range(4), 4), "gray": rng.random() < 0.2,
            "factors": [rng.uniform(0.2, 1.8), rng.uniform(0.2, 1.8), rng.uniform(0.2, 1.8), rng.uniform(-0.2, 0.2)]}


def views(cases, name, count, size, rng):
    pil = Image.fromarray(cases.arrays[name])
    mean, std = [0.485, 0.456, 0.406], [0.228, 0.224, 0.225]
    for _ in range(count):
        drawn = draw(*pil.size, size, rng)
        cases.add("view", name, view(pil, drawn, mean, std), mean=mean, std=std, **drawn)


def shipped():
    cases = Cases()
    cases.image("picture", picture(25, 35, 1))
    cases.image("picture_upright", picture(35, 25, 2))
    torchvision_8bit(cases, "picture")
    colors = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    colors[0, :, 1:] = colors[0, :, :1]  # greys
    colors[1, :, 2] = colors[1, :, 0]  # ties of the greatest
    colors[2] //= 32  # dark
    cases.image("colors", colors)
    pil = Image.fromarray(colors)
    for value in (-0.2, 0.03, 0.33):
        cases.add("hue", "colors", np.asarray(F.adjust_hue(pil, value)), value=value)
    cases.add("saturation", "colors", np.asarray(F.adjust_saturation(pil, 1.5)), value=1.5)
    views(cases, "picture", 6, (12, 12), random.Random(4))
    resize_and_crop(cases)
    cases.save(os.path.join(HERE, "augment_8bit.safetensors"))

    cases = Cases()
    cases.image("picture", picture(33, 41, 7))
    affine_8bit(cases, "picture")
    magnitudes(cases, (2, 10, 31), ((32, 32), (375, 500), (224, 331)))
    policies(cases)
    cases.save(os.path.join(HERE, "augment_policies.safetensors"))

    cases = Cases()
    rng = np.random.default_rng(5)
    cases.image("picture", (picture(17, 23, 6) + rng.uniform(0, 1, (17, 23, 3))).astype(np.float32).clip(0, 255) / np.float32(255))
    torchvision_float(cases, "picture")
    byol_float(cases, "picture")
    byol_crop(cases, cases.image("bytes", picture(25, 35, 10)))
    cases.save(os.path.join(HERE, "augment_float.safetensors"))


def apply_steps(pil, steps, drawn, blur):
    """A pipeline in our JSON by torchvision's functions of PIL images, up to the normalisation."""
    for step, values in zip(steps, drawn):
        if step["op"] == "RandomResizedCrop":
            pil = F.resized_crop(pil, values["y"], values["x"], values["height"], values["width"], [step["size"]] * 2,
                                 FILTERS[step.get("interpolation", "bilinear")])
        elif not values.get("apply"):
            continue
        elif step["op"] == "RandomHorizontalFlip":
            pil = F.hflip(pil)
        elif step["op"] == "ColorJitter":
            for index in values["order"]:
                name = ["brightness", "contrast", "saturation", "hue"][index]
                if step.get(name):
                    pil = getattr(F, "adjust_" + name)(pil, values[name])
        elif step["op"] == "RandomGrayscale":
            pil = F.to_grayscale(pil, 3)
        elif step["op"] == "GaussianBlur":
            pil = blur(pil, values["sigma"])
    return np.asarray(pil)


def torchvision_blur(pil, sigma):
    """23 taps, as SwAV and SimCLR have them; rounded to 8 bits. Ours leaves out taps that do not matter."""
    return F.gaussian_blur(pil, 23, sigma)


def pillow_blur(pil, sigma):
    """What the released code of SwAV calls: three boxes in a Gaussian's place."""
    return pil.filter(ImageFilter.GaussianBlur(sigma))


def pipelines(cases, pil, rng):
    """Views of a photograph with what was drawn for them: each operation by itself behind a crop, and the whole of SwAV's."""
    def add(group, steps, drawn, blur=torchvision_blur):
        drawn = [{"op": step["op"], **values} for step, values in zip(steps, drawn)]
        cases.add("pipeline", "file", apply_steps(pil, steps, drawn, blur), group=group, steps=steps, drawn=drawn)

    def crop(size, scale, **more):
        y, x, h, w = RandomResizedCrop.get_params(pil, scale, (3 / 4, 4 / 3))
        return {"op": "RandomResizedCrop", "size": size, **more}, {"x": x, "y": y, "width": w, "height": h}

    def jitter(p, **strengths):
        factors = {name: rng.uniform(0.2, 1.8) for name in ("brightness", "contrast", "saturation")}
        return ({"op": "ColorJitter", "p": p, **strengths},
                {"apply": rng.random() < p, "order": rng.sample(range(4), 4), "hue": rng.uniform(-0.2, 0.2), **factors})

    def blurred(p):
        return {"op": "GaussianBlur", "p": p}, {"apply": rng.random() < p, "sigma": rng.uniform(0.1, 2)}

    def chosen(op, p):
        return {"op": op, "p": p}, {"apply": rng.random() < p}

    strengths = {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}
    add("resize to 224", *zip(crop(224, (0.14, 1))))
    add("resize to 96", *zip(crop(96, (0.05, 0.14))))
    add("bicubic to 224", *zip(crop(224, (0.08, 1), interpolation="bicubic")))
    for name, strength in strengths.items():
        add(name, *zip(crop(224, (0.14, 1)), jitter(1, **{name: strength})))
    add("jitter", *zip(crop(224, (0.14, 1)), jitter(1, **strengths)))
    add("blur", *zip(crop(224, (0.14, 1)), blurred(1)))
    add("blur by Pillow's boxes", *zip(crop(224, (0.14, 1)), blurred(1)), blur=pillow_blur)
    normalize = {"op": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.228, 0.224, 0.225]}, {}
    for size, scale in [(224, (0.14, 1)), (96, (0.05, 0.14))]:
        whole = [*zip(crop(size, scale), chosen("RandomHorizontalFlip", 0.5), jitter(0.8, **strengths), chosen("RandomGrayscale", 0.2),
                      blurred(0.5), normalize)]
        add(f"SwAV, {size}", *whole)
        add(f"SwAV with Pillow's boxes, {size}", *whole, blur=pillow_blur)


def sweep(cases, rng):
    """Every bin and sign of the policies' operations, and affine transforms at random, on pictures of odd sizes."""
    sizes = [(24, 37), (61, 40), (33, 33), (50, 12), (1, 331), (8, 8)]
    cases.image("picture", picture(24, 37, 20))
    magnitudes(cases, range(2, 66), sizes)
    magnitudes(cases, (31,), [(1, width) for width in range(1, 700)])
    names = [cases.image(f"picture_{index}", picture(*size, 21 + index)) for index, size in enumerate(sizes)]
    for of in ("rand", "wide"):
        for operation, (values, signed) in space(of, 31, 1, 1).items():
            moves = operation.startswith(("Shear", "Translate", "Rotate"))
            for name in names:
                for bin in range(31 if values.ndim else 0):
                    for sign in (1, -1) if signed else (1,):
                        for sampling in SAMPLINGS if moves else ("nearest",):
                            policy(cases, name, of, operation, 31, bin, sign, sampling)
    for _ in range(20000):
        name = rng.choice(names)
        height, width = cases.arrays[name].shape[:2]
        angle = rng.choice([0, 90, -90, 180, rng.uniform(-180, 180), rng.uniform(-10, 10)])
        translate = (rng.randint(-width, width), rng.randint(-height, height)) if rng.random() < 0.5 else (0, 0)
        scale = rng.choice([1, 2, rng.uniform(0.3, 2.5)])
        shear, shear_y = rng.choice([0, rng.uniform(-60, 60)]), rng.choice([0, 0, rng.uniform(-60, 60)])
        sampling = rng.choice(list(SAMPLINGS))
        result = F.affine(Image.fromarray(cases.arrays[name]), angle, list(translate), scale, [shear, shear_y], SAMPLINGS[sampling], fill=[0, 0, 0])
        cases.add("affine", name, np.asarray(result), angle=angle, translate=translate, scale=scale, shear=shear, shear_y=shear_y, sampling=sampling, fill=0)


def reference(folder, photos):
    if not PIL.__version__.startswith("13."):
        raise SystemExit(f"the reference is Pillow 13, not {PIL.__version__}")
    os.makedirs(folder, exist_ok=True)
    rng = random.Random(7)
    torch.manual_seed(7)
    for index, file in enumerate(sorted(f for f in os.listdir(photos) if f.lower().endswith((".jpeg", ".jpg")))):
        with open(os.path.join(photos, file), "rb") as stream:
            data = stream.read()
        pil = Image.open(io.BytesIO(data)).convert("RGB")
        cases = Cases()
        cases.image("file", np.frombuffer(data, np.uint8).reshape(-1, 1, 1))
        cases.image("photo", np.asarray(pil))
        for size, scale in [((224, 224), 0.6), ((96, 96), 0.3)]:
            w, h = max(1, round(pil.width * scale)), max(1, round(pil.height * scale))
            box = (rng.randint(0, pil.width - w), rng.randint(0, pil.height - h), w, h)
            for filter in FILTERS:
                result = F.resized_crop(pil, box[1], box[0], h, w, size, FILTERS[filter])
                cases.add("resized_crop", "photo", np.asarray(result), box=box, size=size, filter=filter)
        if index % 10 == 0:
            views(cases, "photo", 2, (224, 224), rng)
        pipelines(cases, pil, rng)
        cases.save(os.path.join(folder, file + ".safetensors"))
    cases = Cases()
    sweep(cases, rng)
    cases.save(os.path.join(folder, "policies.safetensors"))
    cases = Cases()
    every = np.arange(1 << 24, dtype=np.uint32).reshape(4096, 4096)
    colors = cases.image("every_color", np.stack([every >> 16, every >> 8 & 255, every & 255], -1).astype(np.uint8))
    pil = Image.fromarray(cases.arrays[colors])
    cases.add("hue", colors, np.asarray(F.adjust_hue(pil, 0.137)), value=0.137)
    cases.add("hue", colors, np.asarray(F.adjust_hue(pil, -0.2)), value=-0.2)
    cases.add("saturation", colors, np.asarray(F.adjust_saturation(pil, 1.37)), value=1.37)
    cases.add("saturation", colors, np.asarray(F.adjust_saturation(pil, 0.37)), value=0.37)
    cases.add("grayscale", colors, np.asarray(F.to_grayscale(pil, 3)))
    cases.save(os.path.join(folder, "every_color.safetensors"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", help="write the files for real photos into this folder")
    parser.add_argument("--photos", help="a folder of JPEGs")
    arguments = parser.parse_args()
    if arguments.reference:
        reference(arguments.reference, arguments.photos)
    else:
        shipped()
