#!/usr/bin/env python3
"""Prints the ranges of the values that the collapse monitor checks, in the first tenth of healthy and of deliberately broken runs of a method.

usage: collapse_signs.py METHOD --unlabel build/release/unlabel [--data FOLDER] [--a-class N] [--runs DIR] [--broken] [--tenths 1]
                         [options of unlabel pretrain]
Settings are those of tests/bench/results/results.py (if it has three learning rates, with the second one), unless an option changes them.
  --data FOLDER  images of up to 64 px (default: cifar10_jpegs/train in UNLABEL_DATA; exit code 77 if that is missing)
  --a-class N    use the first N images of each class
  --runs DIR     folder of the runs (default: a temporary one); runs that it already contains are only read. They run one after another,
                 on one core each
  --broken       only the unchanged run and the deliberately broken ones
  --tenths N     length of the runs in tenths (default: 1); 10: complete runs
Ends with 1 when the monitor's result is wrong for a run.
"""
import argparse
import json
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

TOO_FAST = {"learning rate x 100": (True, {"optimizer.lr": 100})}  # a factor
SLOW = {"learning rate / 10": (False, {"optimizer.lr": 0.1})}
RUNS = {  # of each method: name: (broken, options); beside "as it is" and "seed 1"
    "swav": {"64 prototypes": (False, {"swav.prototypes": 64}), **SLOW,
             "two more crops of 16 px": (False, {"augment.preset": "swav", "augment.local-count": 2, "augment.local-size": 16, "augment.local-scale": "0.14,0.4"}),
             "LARC .6": (False, {"optimizer.kind": "larc", "optimizer.lr": 1.5, "optimizer.weight-decay": 1e-6}),
             **TOO_FAST, "no Sinkhorn": (True, {"swav.sinkhorn-iterations": 0}), "epsilon 1": (True, {"swav.epsilon": 1})},
    "byol": {**SLOW, "target's momentum .9": (False, {"byol.base-momentum": 0.9}), "target's momentum .996": (False, {"byol.base-momentum": 0.996}),
             **TOO_FAST, "no predictor": (True, {"byol.predictor": "no"}), "no norm in the heads": (True, {"byol.head-norm": "no"})},
    "simclr": {**SLOW, "temperature .1": (False, {"simclr.temperature": 0.1}), "batch of 32": (False, {"batch-size": 32}), **TOO_FAST},
    "moco": {**SLOW, "temperature .2": (False, {"moco.temperature": 0.2}), "queue of 4,096": (False, {"moco.queue-length": 4096}), **TOO_FAST},
    "deepcluster_v2": {**SLOW, "64 clusters": (False, {"deepcluster-v2.prototypes": "[64]"}),
                       "1,000 clusters": (False, {"deepcluster-v2.prototypes": "[1000]"}), **TOO_FAST},
    "deepcluster": {**SLOW, "16 clusters": (False, {"deepcluster.clusters": 16}), "1,000 clusters": (False, {"deepcluster.clusters": 1000}),
                    "empty clusters kept": (False, {"deepcluster.empty": "keep"}),  # there are none as long as all goes well
                    **TOO_FAST, "learning rate x 100, empty clusters kept": (True, {"optimizer.lr": 100, "deepcluster.empty": "keep"}),
                    "3,000 clusters for 500 images and their copies, empty ones kept":
                        (True, {"deepcluster.clusters": 3000, "deepcluster.empty": "keep", "images": 500})},
}
SIGNS = ["loss", "feature_spread", "effective_rank", "assignment_entropy", "mean_assignment_entropy", "contrast_accuracy", "cluster_accuracy",
         "clusters_used", "largest_cluster"]

parser = argparse.ArgumentParser()
parser.add_argument("method", choices=RUNS)
parser.add_argument("--unlabel", required=True)
parser.add_argument("--data", default=os.environ.get("UNLABEL_DATA", "") + "/cifar10_jpegs/train")
parser.add_argument("--a-class", type=int)
parser.add_argument("--runs")
parser.add_argument("--broken", action="store_true")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--tenths", type=int, default=1)
options, extra = parser.parse_known_args()
if not os.path.isdir(options.data):
    print(f"collapse_checks: {options.data} is not there: give --data, or set UNLABEL_DATA to what holds cifar10_jpegs/train")
    sys.exit(77)
if not options.runs:
    temporary = tempfile.TemporaryDirectory()
    options.runs = temporary.name
results = runpy.run_path(str(pathlib.Path(__file__).resolve().parents[2] / "tests/bench/results/results.py"), run_name="results")
method = results["METHODS"][options.method]
rate = method["rates"][len(method["rates"]) // 2]
base = {"epochs": options.epochs, **results["COMMON"], **method["options"], "optimizer.lr": rate}
if options.a_class:
    part = pathlib.Path(options.runs, f"first {options.a_class} of each class")
    for label in pathlib.Path(options.data).resolve().iterdir():
        (part / label.name).mkdir(parents=True, exist_ok=True)
        for file in sorted(label.iterdir())[:options.a_class]:
            if not (part / label.name / file.name).exists():
                (part / label.name / file.name).symlink_to(file)
    options.data = str(part)
samples = sum(len(files) for _, _, files in os.walk(options.data))


def with_copies(images, folder):
    """As many links as FOLDER has images, to some of its images only."""
    files = sorted(str(file) for file in pathlib.Path(options.data).resolve().rglob("*") if file.is_file())
    files = files[::len(files) // images][:images]
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(samples):
        link = folder / f"{i}{pathlib.Path(files[i % images]).suffix}"
        if not link.exists():
            link.symlink_to(files[i % images])
    return folder


def measure(name, changes):
    settings = base | changes
    images = settings.pop("images", None)
    if "optimizer.lr" in changes:
        settings["optimizer.lr"] = rate * changes["optimizer.lr"]
    total = settings["epochs"] * (samples // settings["batch-size"])
    folder = os.path.join(options.runs, options.method, name.replace(" ", "_").replace("/", "by"))
    steps = total * options.tenths // 10
    lines = pathlib.Path(folder, "metrics.jsonl")
    if not lines.exists() or len(lines.read_text().splitlines()) < steps:
        data = options.data if images is None else with_copies(images, pathlib.Path(options.runs, f"copies of {images}"))
        command = [options.unlabel, "pretrain", options.method, "--data", data, "--out", folder, "--threads", "1", "--max-steps", str(steps),
                   *(str(word) for name, value in settings.items() for word in (f"--{name}", value)), *extra]
        done = subprocess.run(command, env=dict(os.environ, OMP_NUM_THREADS="1"), capture_output=True, text=True)
        if done.returncode:
            print(f"{name}: ended with {done.returncode}: {(done.stderr.splitlines() or ['no message'])[-1]}")
            return None
    lines = [json.loads(line) for line in open(lines)]
    judged = [line for line in lines if line["step"] >= max(50, total // 25) and "feature_spread" in line]
    said = [f"{warning.split(' is ')[0]} at {line['step']}" for line in lines for warning in line.get("warnings", [])]
    return total, judged, said


wrong, header = [], False
for name, (broken, changes) in {"as it is": (False, {}), "seed 1": (False, {"seed": 1}), **RUNS[options.method]}.items():
    if options.broken and not broken and name != "as it is":
        continue
    found = measure(name, changes)
    if found is None:
        wrong.append(name)
        continue
    total, judged, said = found
    if not judged:
        sys.exit(f"collapse_checks: no step of '{name}' was judged: {total} steps are too few")
    signs = [sign for sign in SIGNS if sign in judged[0]]
    if not header:
        header = True
        print("| run | steps |", " | ".join(signs), "| said, at step |")
        print("|---" * (len(signs) + 3) + "|")
    ranges = [f"{min(line[sign] for line in judged):.3g} to {max(line[sign] for line in judged):.3g}" for sign in signs]
    print(f"| {'**' + name + '**' if broken else name} | {total} |", " | ".join(ranges), "|", "; ".join(said), "|", flush=True)
    if broken != bool(said):
        wrong.append(name)
print("\nBold: broken on purpose.", f"Told wrongly: {', '.join(wrong)}." if wrong else "Each is told, and no other run is.")
sys.exit(1 if wrong else 0)
