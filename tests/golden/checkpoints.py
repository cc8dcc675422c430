#!/usr/bin/env python3
"""Writes tests/golden/checkpoints/METHOD/: a checkpoint after step 3 of a small run, and the encoder after step 6 of the same run going on,
both by PROGRAM. tests/launch/pretrain/golden_checkpoints_test.cpp goes on from them with today's program.

usage: checkpoints.py PROGRAM

What is there was written by the program of commit 28129ee. It shows that what a run left then goes on now, so it is not to be written again
when the program changes; checkpoints of a later program belong beside it.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

OPTIONS = {
    "swav": ["--augment.local-count", "2", "--augment.local-size", "8", "--swav.prototypes", "6", "--swav.hidden-dim", "8",
             "--swav.projection-dim", "4", "--swav.queue-length", "16", "--swav.queue-start-epoch", "0",
             "--swav.freeze-prototypes-iterations", "2"],
    "byol": ["--byol.hidden-dim", "16", "--byol.projection-dim", "4"],
    "simclr": ["--simclr.hidden-dim", "8", "--simclr.projection-dim", "4"],
    "moco": ["--moco.hidden-dim", "8", "--moco.projection-dim", "4", "--moco.queue-length", "16"],
    "deepcluster": ["--deepcluster.clusters", "4", "--deepcluster.pca-dim", "4"],
    "deepcluster_v2": ["--deepcluster_v2.hidden-dim", "8", "--deepcluster_v2.projection-dim", "4"],
}
IMAGES, SIDE, STOP, END = 32, 16, 3, 6  # the second epoch begins with step 4


def draw_images(folder):
    """PPM files in two classes, which have the same size everywhere: a linear congruential generator from each image's number."""
    for number in range(IMAGES):
        state, pixels = number + 1, bytearray()
        for _ in range(3 * SIDE * SIDE):
            state = (state * 1103515245 + 12345) % 2**31
            pixels.append(state >> 16 & 255)
        path = folder / f"class{number % 2}" / f"{number:02}.ppm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"P6 %d %d 255\n" % (SIDE, SIDE) + pixels)


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip())
        return 2
    program = pathlib.Path(sys.argv[1]).absolute()
    golden = pathlib.Path(__file__).absolute().parent / "checkpoints"
    for method, options in OPTIONS.items():
        with tempfile.TemporaryDirectory() as work:
            draw_images(pathlib.Path(work, "images"))
            # In float64 and with exact views, which are the same on every processor but for rounding.
            command = [program, "pretrain", method, "--data", "images", "--out", "run", "--epochs", "4", "--batch-size", "8", "--seed", "1",
                       "--encoder.arch", "resnet18", "--encoder.width", "1", "--encoder.stem", "small", "--augment.global-size", str(SIDE),
                       "--augment.exact", "yes", "--precision", "float64", "--threads", "0", *options]
            for steps in STOP, END:
                subprocess.run([*command, "--max-steps", str(steps)], cwd=work, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
            folder = golden / method
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(pathlib.Path(work, f"run/checkpoints/step-{STOP:08}"), folder)
            shutil.copy(pathlib.Path(work, "run/encoder.safetensors"), folder / "encoder.safetensors")
    return 0


sys.exit(main())
