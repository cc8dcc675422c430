#!/usr/bin/env python3
"""Images a second of SwAV pretraining beside lightly's and beside the bare loop: the same model, batch and views, on CIFAR-10 as files.

usage: pretrain_speed.py --data DIR/train --unlabel build/release/unlabel --bare build/release/bin/unlabel_bare_step --peers PYTHON
                         [--rounds 5] [--steps 60]
Every contender runs once a round, in turn, so that a busy neighbour meets all of them; what counts are ratios of medians.
PYTHON is that of an environment with torch, torchvision and lightly. Two views of 32 px, ResNet-18 of width 16, batch 256.
"""
import argparse
import json
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
rates = {name: [] for name in contenders}
for round_number in range(options.rounds):
    for name, run in contenders.items():
        rates[name].append(run())
        print(f"round {round_number + 1}: {name}: {rates[name][-1]:.0f}", file=sys.stderr, flush=True)

median = {name: statistics.median(values) for name, values in rates.items()}
default = median["lightly, default"]
print("| | images/s, median | least to most | of lightly's default |\n|---|---|---|---|")
for name, values in rates.items():
    print(f"| {name} | {median[name]:.0f} | {min(values):.0f} to {max(values):.0f} | {median[name] / default:.2f} |")
best = max(value for name, value in median.items() if name.startswith("lightly"))
print(f"\nunlabel in bf16: {median['unlabel, bf16'] / default:.2f} x lightly's default, {median['unlabel, bf16'] / best:.2f} x its best; "
      f"{100 * median['unlabel, bf16'] / median['bare loop, bf16']:.0f} % of the bare loop (float32: "
      f"{100 * median['unlabel, float32'] / median['bare loop, float32']:.0f} %); waited for data "
      f"{100 * statistics.median(waits['bf16']):.1f} % (float32: {100 * statistics.median(waits['float32']):.1f} %)")
