#!/usr/bin/env python3
"""Writes PNG images of coloured noise into a folder: photos.py FOLDER [NUMBER [SIDE]], 64 of 40 pixels without"""
import pathlib
import random
import struct
import sys
import zlib


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


folder = pathlib.Path(sys.argv[1])
folder.mkdir()
noise = random.Random(0)
number = int(sys.argv[2]) if len(sys.argv) > 2 else 64
side = int(sys.argv[3]) if len(sys.argv) > 3 else 40
for i in range(number):
    rows = b"".join(b"\0" + noise.randbytes(3 * side) for _ in range(side))
    (folder / f"{i}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) +
                                      chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
