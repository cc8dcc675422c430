#!/usr/bin/env python3
"""Our SwAV views beside other libraries', on one core: medians of CPU milliseconds an image, and ratios.

usage: compare.py --photos DIR [--views build/release/bin/unlabel_augment_views] [--peers PYTHON] [--rounds 15] [--images 50] [--core 0] [--only PATTERN]
Every way runs once a round, in an order that is shuffled anew, on the same core. DIR holds *.JPEG; PYTHON is that of an environment with torchvision,
albumentations 2.0.8 and nvidia-dali (what is missing is left out).
"""
import argparse
import pathlib
import random
import re
import statistics
import subprocess

parser = argparse.ArgumentParser()
parser.add_argument("--photos", required=True)
parser.add_argument("--views", default="build/release/bin/unlabel_augment_views")
parser.add_argument("--peers")
parser.add_argument("--rounds", type=int, default=15)
parser.add_argument("--images", type=int, default=50)
parser.add_argument("--core", default="0")
parser.add_argument("--only", default="", help="a regular expression")
options = parser.parse_args()
here = pathlib.Path(__file__).parent


class Server:
    def __init__(self, *command):
        self.process = subprocess.Popen(["taskset", "-c", options.core, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ways = self.process.stdout.readline().split()[1:]

    def ask(self, way, images, seed):
        print(way, images, seed, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())


servers = [Server(options.views, options.photos)]
if options.peers:
    servers.append(Server(options.peers, str(here / "peers.py"), options.photos))
ways = [(way, server) for server in servers for way in server.ways if re.search(options.only, way)]
times = {way: [] for way, _ in ways}
for seed in range(options.rounds + 1):
    random.Random(seed).shuffle(ways)
    for way, server in ways:
        images = options.images if not way.startswith("shift") else 4
        if (took := server.ask(way, images, seed)) and seed > 0:  # the first round warms up
            times[way].append(took)

medians = {way: statistics.median(found) for way, found in times.items()}


def ratios(way, base):
    if way not in times or base not in times:
        return "-"
    each = sorted(a / b for a, b in zip(times[way], times[base]))
    return f"{medians[way] / medians[base]:.2f} ({each[0]:.2f} to {each[-1]:.2f})"


print("| | ms of CPU an image, median (least to most) | times `swav` | times `jpeg` |\n|---|---|---|---|")
for way in sorted(times, key=medians.get):
    base = "shift" if way.startswith("shift") else "swav"
    print(f"| {way} | {medians[way]:.3f} ({min(times[way]):.3f} to {max(times[way]):.3f}) | {ratios(way, base)} | "
          f"{'' if base == 'shift' else ratios(way, 'jpeg')} |")
