#!/usr/bin/env python3
"""Golden images for the decoders: small files of kinds that OpenCV cannot write, and their pixels. Writes decode.safetensors beside this.

For every case NAME there are `NAME.file` (the bytes, as an array n x 1 x 1) and `NAME.rgb` (height x width x 3). The pixels are Pillow's,
except where Pillow has no 8-bit answer or another one: those are scaled here, value * 255 / most to the nearest, and grey of 16 bits keeps its
high byte, as Pillow has it of RGB. A case with `upright` is what PIL.ImageOps.exif_transpose makes.
Made with Pillow 13.0.
"""
import io
import json
import os
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
arrays, cases = {}, []
random = np.random.default_rng(1)
W, H = 13, 7


def add(name, data, rgb=None, upright=False):
    if rgb is None:
        image = Image.open(io.BytesIO(data))
        rgb = np.asarray((ImageOps.exif_transpose(image) if upright else image).convert("RGB"))
    assert rgb.shape in ((H, W, 3), (W, H, 3)), (name, rgb.shape)
    arrays[f"{name}.file"] = np.frombuffer(data, np.uint8).reshape(-1, 1, 1).copy()
    arrays[f"{name}.rgb"] = np.ascontiguousarray(rgb, np.uint8)
    cases.append({"op": "decode", "in": f"{name}.file", "out": f"{name}.rgb", "upright": upright})


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def noise(*shape, most=255):
    return random.integers(0, most + 1, shape)


def repeated(grey):
    return np.repeat(grey[:, :, None], 3, 2)


def scaled(values, most):
    return (values.astype(np.int64) * 255 + most // 2) // most


# PNG: palettes of every depth, with and without transparency.
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(values, bits):
    rows = np.zeros((values.shape[0], -(-values.shape[1] * bits // 8)), np.uint8)
    for x in range(values.shape[1]):
        rows[:, x * bits // 8] |= (values[:, x] << (8 - bits - x * bits % 8)).astype(np.uint8)
    return rows


def png(bits, color, rows, interlace=0, extra=b""):
    header = struct.pack(">IIBBBBB", W, H, bits, color, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def scanlines(rows):
    return b"".join(b"\0" + row.tobytes() for row in rows)


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def interlaced(pixels, pack):
    return b"".join(scanlines(pack(part)) for x, y, dx, dy in ADAM7 if (part := pixels[y::dy, x::dx]).size)


for bits in (1, 2, 4, 8):
    palette = noise(1 << bits, 3).astype(np.uint8)
    indices = noise(H, W, most=(1 << bits) - 1)
    plte, trns = chunk(b"PLTE", palette.tobytes()), chunk(b"tRNS", bytes(noise(1 << bits).astype(np.uint8)))
    add(f"png_palette{bits}", png(bits, 3, scanlines(packed(indices, bits)), extra=plte), palette[indices])
    add(f"png_palette{bits}_trns", png(bits, 3, scanlines(packed(indices, bits)), extra=plte + trns))
    add(f"png_palette{bits}_interlaced", png(bits, 3, interlaced(indices, lambda p: packed(p, bits)), 1, plte))
    add(f"png_grey{bits}", png(bits, 0, scanlines(packed(indices, bits))), repeated(scaled(indices, (1 << bits) - 1)))
rgb = noise(H, W, 3).astype(np.uint8)
add("png_rgb_interlaced", png(8, 2, interlaced(rgb, lambda p: p.reshape(len(p), -1)), 1))
add("png_rgb_trns", png(8, 2, scanlines(rgb.reshape(H, -1)), extra=chunk(b"tRNS", struct.pack(">3H", *rgb[0, 0]))))
add("png_grey_alpha", saved(Image.fromarray(noise(H, W, 2).astype(np.uint8), "LA"), "PNG"))
add("png_rgba", saved(Image.fromarray(noise(H, W, 4).astype(np.uint8), "RGBA"), "PNG"))
deep = noise(H, W, most=65535)
add("png_grey16", png(16, 0, scanlines(deep.astype(">u2"))), repeated(deep >> 8))

# WebP without loss.
add("webp_lossless", saved(Image.fromarray(rgb), "WEBP", lossless=True))
add("webp_lossless_alpha", saved(Image.fromarray(noise(H, W, 4).astype(np.uint8), "RGBA"), "WEBP", lossless=True, exact=True))

# TIFF.
add("tiff_rgb_deflate", saved(Image.fromarray(rgb), "TIFF", compression="tiff_deflate"))
add("tiff_rgb_lzw", saved(Image.fromarray(rgb), "TIFF", compression="tiff_lzw"))
add("tiff_palette", saved(Image.fromarray(rgb).quantize(16), "TIFF"))
add("tiff_bilevel_g4", saved(Image.fromarray(noise(H, W, most=1).astype(bool)), "TIFF", compression="group4"))
add("tiff_grey16", saved(Image.fromarray(deep.astype(np.uint16)), "TIFF"), repeated(deep >> 8))


def tiff(values, big=False, order="<", extra=(), photometric=None):
    """An array [height, width, samples] of any type as a TIFF of one strip; `extra` has more entries (tag, type, count, value)."""
    height, width, samples = values.shape
    bits, kind = values.dtype.itemsize * 8, {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    start = 16 if big else 8
    shorts = struct.pack(order + "3H", bits, bits, bits), struct.pack(order + "3H", kind, kind, kind)
    data = b"".join(shorts) + values.astype(values.dtype.newbyteorder(order)).tobytes()
    data += b"\0" * (len(data) % 2)
    many = samples == 3
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, samples, start if many else bits), (259, 3, 1, 1),
               (262, 3, 1, photometric if photometric is not None else 2 if many else 1), (273, 4, 1, start + 12), (277, 3, 1, samples),
               (278, 3, 1, height), (279, 4, 1, values.nbytes), (339, 3, samples, start + 6 if many else kind), *extra]
    entry = struct.Struct(order + ("HHQ" if big else "HHI"))
    number = order + ("Q" if big else "I")

    def value(tag, count, given):
        # A SHORT stands at the beginning of its field; three of them fit into a BigTIFF's.
        if tag in (258, 339) and count == 3:
            return struct.pack(order + "4H", *[bits if tag == 258 else kind] * 3, 0) if big else struct.pack(number, given)
        kind_of = dict((e[0], e[1]) for e in entries)[tag]
        return struct.pack(order + "H", given).ljust(8 if big else 4, b"\0") if kind_of == 3 else struct.pack(order + "I", given).ljust(8 if big else 4, b"\0")

    directory = b"".join(entry.pack(tag, kind_of, count) + value(tag, count, given) for tag, kind_of, count, given in sorted(entries))
    mark = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head = mark + (struct.pack(order + "HHQ", 8, 0, start + len(data)) if big else struct.pack(order + "I", start + len(data)))
    return head + data + struct.pack(order + ("Q" if big else "H"), len(entries)) + directory + b"\0" * (8 if big else 4)


deep_rgb = noise(H, W, 3, most=65535)
add("tiff_rgb16", tiff(deep_rgb.astype(np.uint16)))

# Netpbm.
bits = noise(H, W, most=1)
text = lambda values: ("\n".join(" ".join(map(str, row.ravel())) for row in values) + "\n").encode()
add("pbm_p1", b"P1\n# a comment\n%d %d\n" % (W, H) + text(bits))
add("pgm_p2", b"P2 %d %d # a comment\n255\n" % (W, H) + text(noise(H, W)))
add("ppm_p3", b"P3\n%d %d\n255\n" % (W, H) + text(rgb))
add("pbm_p4", b"P4\n%d %d\n" % (W, H) + packed(bits, 1).tobytes())
add("pgm_p5_16", b"P5\n%d %d\n65535\n" % (W, H) + deep.astype(">u2").tobytes(), repeated(deep >> 8))
add("ppm_p6_16", b"P6\n%d %d\n65535\n" % (W, H) + deep_rgb.astype(">u2").tobytes())
thousand = noise(H, W, 3, most=1000)
add("ppm_p6_1000", b"P6\n%d %d\n1000\n" % (W, H) + thousand.astype(">u2").tobytes())
add("ppm_p3_31", b"P3\n%d %d\n31\n" % (W, H) + text(thousand % 32), scaled(thousand % 32, 31))


# BMP.
def bmp(bits, rows, palette=b"", top_down=False, masks=b""):
    rows = [row.tobytes() + bytes(-len(row.tobytes()) % 4) for row in rows]
    at = 14 + 40 + len(masks) + len(palette)
    data = b"".join(rows if top_down else rows[::-1])
    info = struct.pack("<IiiHHIIiiII", 40, W, -H if top_down else H, 1, bits, 3 if masks else 0, len(data), 0, 0, len(palette) // 4, 0)
    return b"BM" + struct.pack("<IHHI", at + len(data), 0, 0, at) + info + masks + palette + data


for bits in (1, 4, 8):
    palette = noise(1 << bits, 4).astype(np.uint8)
    indices = noise(H, W, most=(1 << bits) - 1)
    for top_down in (False, True):
        add(f"bmp{bits}" + "_top_down" * top_down, bmp(bits, packed(indices, bits), palette.tobytes(), top_down), palette[indices][:, :, 2::-1])
bgr = rgb[:, :, ::-1].copy()
add("bmp24", bmp(24, bgr))
add("bmp24_top_down", bmp(24, bgr, top_down=True))
add("bmp32", bmp(32, noise(H, W, 4).astype(np.uint8)))
five = noise(H, W, 3, most=31)
add("bmp16_555", bmp(16, (five[:, :, 0] << 10 | five[:, :, 1] << 5 | five[:, :, 2]).astype("<u2")))
six = noise(H, W, most=63)
add("bmp16_565", bmp(16, (five[:, :, 0] << 11 | six << 5 | five[:, :, 2]).astype("<u2"), masks=struct.pack("<3I", 0xF800, 0x7E0, 0x1F)))


# Sixteen bits.
add("png_rgb16", png(16, 2, scanlines(deep_rgb.astype(">u2").reshape(H, -1))))
add("png_rgba16", png(16, 6, scanlines(noise(H, W, 4, most=65535).astype(">u2").reshape(H, -1))))
add("png_grey_alpha16", png(16, 4, scanlines(noise(H, W, 2, most=65535).astype(">u2").reshape(H, -1))))
add("png_rgb16_interlaced", png(16, 2, interlaced(deep_rgb.astype(">u2"), lambda p: p.reshape(len(p), -1)), 1))
add("tiff_rgb16_big_endian", tiff(deep_rgb.astype(np.uint16), order=">"))
add("tiff_white_is_zero16", tiff(deep.astype(np.uint16)[:, :, None], photometric=0), repeated(255 - (deep >> 8)))

# BigTIFF; Pillow does not know a big-endian one.
for name, order in ("little", "<"), ("big", ">"):
    add(f"bigtiff_rgb_{name}_endian", tiff(rgb, big=True, order=order), rgb if name == "big" else None)
    add(f"bigtiff_rgb16_{name}_endian", tiff(deep_rgb.astype(np.uint16), big=True, order=order), deep_rgb >> 8 if name == "big" else None)
    add(f"bigtiff_grey_{name}_endian", tiff(rgb[:, :, :1], big=True, order=order), repeated(rgb[:, :, 0]) if name == "big" else None)

# Orientations: a TIFF is turned always, a PNG and a WebP when that is asked for.
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    add(f"tiff_turned{orientation}", tiff(rgb, extra=[(274, 3, 1, orientation)]))
    add(f"tiff_grey16_turned{orientation}", tiff(deep.astype(np.uint16)[:, :, None], extra=[(274, 3, 1, orientation)]),
        np.asarray(Image.open(io.BytesIO(tiff((deep >> 8).astype(np.uint8)[:, :, None], extra=[(274, 3, 1, orientation)]))).convert("RGB")))
    add(f"bigtiff_turned{orientation}", tiff(rgb, big=True, extra=[(274, 3, 1, orientation)]))
    turned_png, turned_webp = saved(Image.fromarray(rgb), "PNG", exif=exif), saved(Image.fromarray(rgb), "WEBP", lossless=True, exif=exif)
    add(f"png_stored{orientation}", turned_png)
    add(f"png_turned{orientation}", turned_png, upright=True)
    add(f"webp_stored{orientation}", turned_webp)
    add(f"webp_turned{orientation}", turned_webp, upright=True)
    add(f"tiff_turned{orientation}_upright", tiff(rgb, extra=[(274, 3, 1, orientation)]), upright=True)


# Run-length coded bitmaps: runs, indices as they are, steps, early ends.
def run_length(bits, data, top_down=False):
    most = 1 << bits
    palette = noise(most, 4).astype(np.uint8).tobytes()
    at = 14 + 40 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, W, -H if top_down else H, 1, bits, 1 if bits == 8 else 2, len(data), 0, 0, most, 0)
    return b"BM" + struct.pack("<IHHI", at + len(data), 0, 0, at) + info + palette + data


def rows_of_runs(bits):
    data = b""
    for y in range(H):
        a, b = random.integers(0, 256, 2)
        if y % 2 == 0:  # two runs
            data += bytes([5, a, W - 5, b])
        else:  # a run, and seven as they are, which are filled up to 16 bits
            data += bytes([W - 7, a, 0, 7]) + (random.bytes(7) + b"\0" if bits == 8 else random.bytes(4))
        data += b"\0\0"
    return data + b"\0\1"


for bits in (4, 8):
    add(f"bmp_rle{bits}", run_length(bits, rows_of_runs(bits)))
    add(f"bmp_rle{bits}_top_down", run_length(bits, rows_of_runs(bits), top_down=True))
    # A run that goes beyond its row, a step over three pixels and two rows, short rows, and a last row that is all steps.
    steps = bytes([200, 0x21, 0, 0, 2, 0x43, 0, 2, 3, 2, 4, 0x65, 0, 0]) + bytes([3, 0x87, 0, 0]) * (H - 5) + bytes([0, 2, W - 1, 0, 1, 0x19, 0, 1])
    add(f"bmp_rle{bits}_steps", run_length(bits, steps))

save_file(arrays, os.path.join(HERE, "decode.safetensors"), metadata={"cases": json.dumps(cases)})
print(len(cases), "cases")
