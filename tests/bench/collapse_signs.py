#!/usr/bin/env python3
"""What the collapse monitor sees in the first tenth of healthy and of broken SwAV runs: the ranges of its signs, as a table.

usage: collapse_signs.py --unlabel build/release/unlabel --data DATA --recipe NAME --runs DIR [pretrain's options]
Runs go into DIR, one core each, one after another; those that are there already are only read.
"""
import argparse
import json
import os
import subprocess
import sys

RUNS = {  # name: (broken, options)
    "recipe": (False, ""),
    "seed 1": (False, "--seed 1"),
    "64 prototypes": (False, "--swav.prototypes 64"),
    "3,000 prototypes, batch 32": (False, "--swav.prototypes 3000 --batch-size 32"),
    "learning rate / 10": (False, "--optimizer.lr 0.04"),
    "LARC .6": (False, "--optimizer.kind larc --optimizer.lr 0.6 --optimizer.weight-decay 1e-6"),
    "two more crops of 14 px, area from .14": (
        False, "--augment.local-count 2 --augment.local-size 14 --augment.global-scale [0.14,1]"),
    "learning rate x 100": (True, "--optimizer.lr 40"),
    "no Sinkhorn": (True, "--swav.sinkhorn-iterations 0"),
    "epsilon 1": (True, "--swav.epsilon 1"),
}
SIGNS = ["loss", "feature_spread", "effective_rank", "assignment_entropy", "mean_assignment_entropy"]

parser = argparse.ArgumentParser()
parser.add_argument("--unlabel", required=True)
parser.add_argument("--data", required=True)
parser.add_argument("--recipe", required=True)
parser.add_argument("--runs", required=True)
options, extra = parser.parse_known_args()


recipe = json.load(open(f"{os.path.dirname(os.path.abspath(__file__))}/../../ssl/recipes/{options.recipe}.json"))
samples = 60000 if options.data.startswith("idx:") else sum(len(files) for _, _, files in os.walk(options.data))


def measure(name, arguments):
    words = arguments.split()
    batch = int(words[words.index("--batch-size") + 1]) if "--batch-size" in words else recipe["batch_size"]
    total = recipe["epochs"] * (samples // batch)
    folder = os.path.join(options.runs, name.replace(" ", "_").replace("/", "by"))
    if not os.path.exists(f"{folder}/encoder.safetensors"):
        command = [options.unlabel, "pretrain", "swav", "--data", options.data, "--recipe", options.recipe, "--out", folder,
                   "--threads", "1", "--max-steps", str(total // 10), *words, *extra]
        done = subprocess.run(command, env=dict(os.environ, OMP_NUM_THREADS="1"), capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
    lines = [json.loads(line) for line in open(f"{folder}/metrics.jsonl")]
    judged = [line for line in lines if line["step"] >= max(50, total // 25) and "feature_spread" in line]
    said = [f"{warning.split(' is ')[0]} at {line['step']}" for line in lines for warning in line.get("warnings", [])]
    return total, judged, said


print("| run | steps |", " | ".join(SIGNS), "| said, at step |")
print("|---" * (len(SIGNS) + 3) + "|")
wrong = []
for name, (broken, arguments) in RUNS.items():
    total, judged, said = measure(name, arguments)
    ranges = [f"{min(line[sign] for line in judged):.3g} to {max(line[sign] for line in judged):.3g}" for sign in SIGNS]
    print(f"| {'**' + name + '**' if broken else name} | {total} |", " | ".join(ranges), "|", "; ".join(said), "|", flush=True)
    if broken != bool(said):
        wrong.append(name)
print("\nBold: broken on purpose.", f"Told wrongly: {', '.join(wrong)}." if wrong else "Each is told within a tenth of its steps, and no other run is.")
