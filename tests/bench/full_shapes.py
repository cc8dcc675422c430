#!/usr/bin/env python3
"""Runs each published recipe for a few steps with its full tensor shapes but a small batch, and prints memory and time per step.

usage: full_shapes.py --unlabel build/release/unlabel [--batch 4] [--steps 3] [--precision auto] [--only PATTERN]
                      [--published-clusters]
Of recipes that differ only in values without influence on shapes (number of epochs, learning rates, batch sizes), one is run. Images are
colored noise. Clusterings use 8 clusters, because the published 3,000 and 10,000 need as many images; with --published-clusters these
numbers are used, which takes many minutes. Numbers of prototypes and queue lengths are the recipe's. Ends with 1 when a run fails or its
loss is not finite.
"""
import argparse
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

parser = argparse.ArgumentParser()
parser.add_argument("--unlabel", required=True)
parser.add_argument("--batch", type=int, default=4)
parser.add_argument("--steps", type=int, default=3)
parser.add_argument("--precision", default="auto")
parser.add_argument("--only", default="", help="a regular expression")
parser.add_argument("--published-clusters", action="store_true")
options = parser.parse_args()
root = pathlib.Path(__file__).resolve().parents[2]
few_clusters = {"deepcluster": ["--deepcluster.clusters", "8", "--deepcluster.pca-dim", "8"],
                "deepcluster_v2": ["--deepcluster-v2.prototypes", "[8,8,8]"]}
if options.published_clusters:
    few_clusters = {}


def shapes(recipe):
    """What of a recipe decides the work of a step."""
    kept = {name: recipe.get(name) for name in ("method", "encoder", "augment", recipe["method"])}
    kept["kind"] = recipe.get("optimizer", {}).get("kind")
    kept[recipe["method"]] = {name: value for name, value in (kept[recipe["method"]] or {}).items()
                              if re.search("dim|prototypes|clusters|length|crops", name)}
    return json.dumps(kept, sort_keys=True)


def run(name, method, photos, out):
    """Memory in GiB and seconds a step; or None after a complaint."""
    command = [options.unlabel, "pretrain", method, "--recipe", name, "--data", photos, "--out", out, "--batch-size", options.batch,
               "--max-steps", options.steps, "--precision", options.precision, "--checkpoint.every", 0, *few_clusters.get(method, [])]
    with open(f"{out}.log", "w") as log:
        process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    text = pathlib.Path(f"{out}.log").read_text()
    if process.returncode != 0:
        print(f"{name}: FAILED with {process.returncode}: {text.splitlines()[-1] if text else 'no output'}")
        return None
    steps = [json.loads(line) for line in open(f"{out}/metrics.jsonl")]
    if len(steps) != options.steps or not all(isinstance(s["loss"], (int, float)) and math.isfinite(s["loss"]) for s in steps):
        print(f"{name}: FAILED: the losses are {[s['loss'] for s in steps]}")
        return None
    # The log has means from the start on: what is left of them is the last step alone.
    seconds = [(step["step"] + 1) * options.batch / step["images_per_second"] for step in steps]
    return usage.ru_maxrss / 2**20, seconds[-1] - seconds[-2]


groups = {}
for path in sorted(root.glob("ssl/planning/recipes/*.json")):
    recipe = json.loads(path.read_text())
    published = recipe["encoder"].get("stem") != "small"
    if published and re.search(options.only, path.stem):
        groups.setdefault(shapes(recipe), []).append((path.stem, recipe["method"]))
if not groups:
    sys.exit(f"full_shapes: no recipe matches '{options.only}'")

failed = 0
print(f"batch {options.batch}, {options.precision}, {len(os.sched_getaffinity(0))} cores\n")
print("| recipe | as in | memory, GiB | seconds a step |\n|---|---|---|---|")
with tempfile.TemporaryDirectory() as folder:
    photos = f"{folder}/photos"
    count = max(16, options.batch * options.steps)
    if options.published_clusters:
        recipes = [json.loads((root / f"ssl/planning/recipes/{name}.json").read_text()) for group in groups.values() for name, _ in group[:1]]
        count = max(count, *(recipe.get("deepcluster", {}).get("clusters", 0) for recipe in recipes),
                    *(max(recipe.get("deepcluster_v2", {}).get("prototypes", [0])) for recipe in recipes))
    subprocess.run([sys.executable, root / "tests/consumer/readme/photos.py", photos, str(count), "256"], check=True)
    for (name, method), *others in groups.values():
        found = run(name, method, photos, f"{folder}/{name}")
        if found is None:
            failed += 1
            continue
        memory, seconds = found
        print(f"| `{name}` | {', '.join(f'`{other}`' for other, _ in others)} | {memory:.1f} | {seconds:.2f} |", flush=True)
        subprocess.run(["rm", "-r", f"{folder}/{name}"], check=True)
print(f"\n{len(groups) - failed} of {len(groups)} run")
sys.exit(1 if failed else 0)
