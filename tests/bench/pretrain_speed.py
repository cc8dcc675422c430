#!/usr/bin/env python3
"""Compares images per second of SwAV pretraining with lightly and with a bare loop: same model, batch and views, on CIFAR-10 as image files.

usage: pretrain_speed.py --data DIR/train --unlabel build/release/unlabel --bare build/release/bin/unlabel_bare_step --peers PYTHON
                         [--rounds 5] [--steps 60] [--only PATTERN]
In each round every program (or those whose names match PATTERN) runs once, so that other load on the machine affects all; the results are ratios of medians.
PYTHON is an interpreter with torch, torchvision and lightly. Two views of 32 px, ResNet-18 of width 16, batch 256. If the device has no
native bf16 arithmetic (`--precision auto` selects float32), programs in bf16 are skipped.
"""
import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile

parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
parser.add_argument("--unlabel", required=True)
parser.add_argument("--bare", required=True)
parser.add_argument("--peers", required=True)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--steps", type=int, default=60)
parser.add_argument("--only", default="", help="a regular expression")
options = parser.parse_args()
here = __file__.rsplit("/", 1)[0]


def output(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr[-2000:]}")
    return done.stdout


def lightly(*extra):
    return lambda: float(output(options.peers, f"{here}/lightly_swav.py", options.data, "--steps", options.steps, *extra))


def bare(precision):
    return lambda: float(output(options.bare, 256, 2, 32, 16, 512, precision, options.steps))


waits = {}


def ours(precision):
    def run():
        with tempfile.TemporaryDirectory() as folder:
            summary = json.loads(output(
                options.unlabel, "pretrain", "swav", "--data", options.data, "--out", f"{folder}/run", "--recipe", "cifar10_small",
                "--batch-size", 256, "--precision", precision, "--swav.prototypes", 512, "--swav.hidden-dim", 128,
                "--swav.queue-length", 0, "--augment.global-scale", "0.2,1.0", "--max-steps", options.steps, "--json", "-"))
        waits.setdefault(precision, []).append(summary["data_wait"])
        return summary["images_per_second"]
    return run


contenders = {
    "lightly, default": lightly(),
    "lightly, bf16": lightly("--bf16"),
    "lightly, bf16, channels_last": lightly("--bf16", "--channels-last"),
    "lightly, bf16, channels_last, 1 worker": lightly("--bf16", "--channels-last", "--workers", 1),
    "lightly, bf16, channels_last, 4 workers": lightly("--bf16", "--channels-last", "--workers", 4),
    "bare loop, float32": bare("float32"),
    "bare loop, bf16": bare("bf16"),
    "unlabel, float32": ours("float32"),
    "unlabel, bf16": ours("bf16"),
}
explained = json.loads(output(options.unlabel, "pretrain", "swav", "--data", options.data, "--precision", "auto", "--explain", "--json", "-"))
native = next(item["here"] for item in explained["settings"] if item["setting"] == "precision")
contenders = {name: run for name, run in contenders.items() if re.search(options.only, name) and (native == "bf16" or "bf16" not in name)}
rates = {name: [] for name in contenders}
for round_number in range(options.rounds):
    for name, run in contenders.items():
        rates[name].append(run())
        print(f"round {round_number + 1}: {name}: {rates[name][-1]:.0f}", file=sys.stderr, flush=True)

median = {name: statistics.median(values) for name, values in rates.items()}
print("| | images/s, median | least to most |\n|---|---|---|")
for name, values in rates.items():
    print(f"| {name} | {median[name]:.0f} | {min(values):.0f} to {max(values):.0f} |")
peers = [value for name, value in median.items() if name.startswith("lightly")]
print()
for precision in ("bf16", "float32"):
    name, loop = f"unlabel, {precision}", f"bare loop, {precision}"
    if name not in median:
        continue
    said = [f"waited for data {100 * statistics.median(waits[precision]):.1f} %"]
    if "lightly, default" in median:
        said.append(f"{median[name] / median['lightly, default']:.2f} x lightly's default")
    if peers:
        said.append(f"{median[name] / max(peers):.2f} x the best of lightly's")
    if loop in median:
        said.append(f"{100 * median[name] / median[loop]:.0f} % of the bare loop")
    print(f"{name}: {', '.join(said)}")
