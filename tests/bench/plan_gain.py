#!/usr/bin/env python3
"""Measures how much kNN accuracy each method gains over its untrained encoder, on small data in few steps, with planned settings and with
settings found by a manual search.

usage: plan_gain.py run --unlabel build/release/unlabel --data DIR --runs DIR [--queue FILE] [--minutes N] [--list]
       plan_gain.py table --runs DIR [--write docs/results.md]
  --data DIR    contains cifar10_jpegs/{train,test}/CLASS/, tinyimagenet50/{train,val}/CLASS/ and photos100/*.JPEG
  --runs DIR    folder of the runs, and of results.jsonl with one line per run; runs with the same settings as a line are not repeated
  --queue FILE  what to run (default: RUNS/queue): lines `METHOD DATA STEPS SEED [OPTION...]`, OPTIONS those of `unlabel pretrain`. Without
                options a line measures the plan, with options a setting of the search. The file is read again after each run: lines may be added
  --precision P as for `unlabel pretrain --precision` (default: auto); results do not record it
  --minutes N   start no run after N minutes
  --list        print which lines are done; run nothing
  --write FILE  write the table between its markers in FILE
DATA is cifar2k, cifar20k (of CIFAR-10, at 32 px), tiny2k or tiny20k (of Tiny-ImageNet-50, at 64 px): the first images of each class; or
tiles2k: each of 100 photographs is a class of 24 tiles of 128 px, which overlap, from its left two thirds, and of 3 test tiles from its
right third. The encoder is a ResNet-18 of width 16. The number of epochs is the one that is nearest to STEPS with the batch size of the plan or of
the options. A gain is the accuracy of kNN (protocol dino, all test images) with the run's encoder minus that with the same encoder untrained.
One run at a time, on one thread. After an interruption the same command continues after the last completed run.
"""
import argparse
import functools
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time

DATA = {"cifar2k": ("cifar10_jpegs", "test", 200), "cifar20k": ("cifar10_jpegs", "test", 2000),
        "tiny2k": ("tinyimagenet50", "val", 40), "tiny20k": ("tinyimagenet50", "val", 400), "tiles2k": ("photos100", "test", 24)}
TILE = 128
COMMON = {"encoder.arch": "resnet18", "encoder.width": 16}
BEGIN, END = "<!-- plan_gain.py: begin -->", "<!-- plan_gain.py: end -->"
RUN_ONLY = ("precision", "data", "out", "recipe", "init", "threads", "device", "backend", "timeout", "checkpoint", "health", "knn")


def fail(message):
    print(f"plan_gain: {message}", file=sys.stderr)
    sys.exit(2)


class Given(argparse.Namespace):
    __hash__ = object.__hash__


def arguments():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--unlabel", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--runs", type=pathlib.Path, required=True)
    parser.add_argument("--queue", type=pathlib.Path)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--write", type=pathlib.Path)
    given = parser.parse_args(namespace=Given())
    if given.what == "run" and not (given.unlabel and given.data):
        fail("run needs --unlabel and --data")
    if given.unlabel:
        given.unlabel = given.unlabel.absolute()
    given.queue = given.queue or given.runs / "queue"
    return given


def words(options):
    return [str(word) for name, value in options.items() for word in (f"--{name}", value)]


def call(given, log, *command):
    with open(log, "a") as file:
        print("$", *command, file=file, flush=True)
        code = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                              env=dict(os.environ, OMP_NUM_THREADS="1")).returncode
    return code


def subset(given, name):
    """The first images of each class as links, and the test images as they are."""
    source, test, a_class = DATA[name]
    source, folder = (given.data / source).resolve(), given.runs / "data" / name
    if name == "tiles2k":
        cut_tiles(source, folder)
        return folder
    if not (source / "train").is_dir():
        source = source / source.name  # unpacked into a folder of its own
    if not (folder / test).is_symlink():
        shutil.rmtree(folder, ignore_errors=True)
        for label in sorted((source / "train").iterdir()):
            (folder / "train" / label.name).mkdir(parents=True)
            for file in sorted(os.listdir(label))[:a_class]:
                (folder / "train" / label.name / file).symlink_to(label / file)
        (folder / test).symlink_to(source / test)
    return folder


def cut_tiles(source, folder):
    """Tiles of each photograph, PNG files; Pillow."""
    if folder.is_dir():
        return
    from PIL import Image
    half = folder.with_suffix(".tmp")
    shutil.rmtree(half, ignore_errors=True)
    for file in sorted(source.glob("*.JPEG")):
        image = Image.open(file).convert("RGB")
        width, height = max(image.width, 4 * TILE), max(image.height, 2 * TILE)
        image = image.resize((width, height), Image.Resampling.BICUBIC) if (width, height) != image.size else image
        third = width - width // 3
        spread = {"train": [(i * (third - TILE) // 5, j * (height - TILE) // 3) for i in range(6) for j in range(4)],
                  "test": [((width + third - TILE) // 2, j * (height - TILE) // 2) for j in range(3)]}
        for split, places in spread.items():
            (half / split / file.stem).mkdir(parents=True)
            for number, (x, y) in enumerate(places):
                image.crop((x, y, x + TILE, y + TILE)).save(half / split / file.stem / f"{number}.png")
    half.rename(folder)


def planned(given, method, data, options):
    """All settings of a run as the program resolves them, by section."""
    command = [given.unlabel, "pretrain", method, "--data", data / "train", *words(options), "--explain", "--json", "-"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        fail(f"{' '.join(map(str, command[1:]))}: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    return {item["setting"]: item["here"] for item in found["settings"] if item["setting"].split(".")[0] not in RUN_ONLY}


def images(name):
    return DATA[name][2] * {"cifar": 10, "tiny": 50, "tiles": 100}[name.rstrip("0123456789k")]


class Line:
    """A line of the queue, and the settings that it comes to."""

    def __init__(self, given, text):
        self.text = " ".join(text.split())
        self.method, self.data, steps, seed, *rest = self.text.split()
        self.steps, self.seed = int(steps), int(seed)
        self.options = dict(zip([word.removeprefix("--") for word in rest[::2]], rest[1::2]))
        if len(rest) % 2 or self.data not in DATA:
            fail(f"not a line of the queue: {text}")
        self.folder = subset(given, self.data)
        settings = {**COMMON, "precision": given.precision, "seed": self.seed, **self.options}
        if "epochs" not in settings:
            batch = planned(given, self.method, self.folder, settings)["batch_size"]
            settings["epochs"] = max(1, round(self.steps / (images(self.data) // batch)))
        self.settings = settings
        self.resolved = planned(given, self.method, self.folder, settings)

    def key(self):
        return [self.method, self.data, self.steps, self.seed, bool(self.options), self.resolved]


def results(given):
    file = given.runs / "results.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def done(given, line):
    return next((found for found in results(given) if found["key"] == line.key()), None)


def untrained(given, line, run):
    """kNN of the same network before it learns; one measurement for each architecture, image size and seed."""
    encoder = {name: value for name, value in line.resolved.items() if name.startswith("encoder.")}
    view = [line.resolved.get("augment.global_size"), line.resolved.get("augment.mean"), line.resolved.get("augment.std")]
    key = json.dumps([line.data, line.seed, encoder, view], sort_keys=True)
    file = given.runs / "untrained.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    if key not in known:
        known[key] = knn(given, line, run, "--untrained", "--checkpoint", run)
        file.write_text(json.dumps(known, indent=1) + "\n")
    return known[key]


def knn(given, line, run, *subject):
    out = run / "knn.json"
    code = call(given, given.runs / "log", given.unlabel, "knn", "--protocol", "dino", "--data", line.folder, "--json", out, "--seed", line.seed,
                "--features.threads", 1, *subject)
    if code:
        fail(f"kNN of '{line.text}' ended with {code}; see {given.runs / 'log'}")
    return json.loads(out.read_text())["value"]


def run(given, line):
    out = given.runs / "run"
    shutil.rmtree(out, ignore_errors=True)
    start = time.monotonic()
    code = call(given, given.runs / "log", given.unlabel, "pretrain", line.method, "--data", line.folder / "train", "--out", out, "--threads", 1,
                "--checkpoint.every", 0, *words(line.settings))
    seconds = time.monotonic() - start
    if code not in (0, 93):
        fail(f"'{line.text}' ended with {code}; see {given.runs / 'log'}")
    metrics = [json.loads(text) for text in (out / "metrics.jsonl").read_text().splitlines()]
    found = {"key": line.key(), "line": line.text, "seconds": round(seconds), "diverged": code == 93,
             "steps": metrics[-1]["step"], "loss": metrics[-1].get("loss"), "images_per_second": round(metrics[-1]["images_per_second"]),
             "warnings": sorted({text.split(" is ")[0] for item in metrics for text in item.get("warnings", [])})}
    if code == 0:
        found["knn"] = knn(given, line, out, "--checkpoint", out)
        found["untrained"] = untrained(given, line, out)
    with open(given.runs / "results.jsonl", "a") as file:
        print(json.dumps(found), file=file)
    gain = f"{100 * (found['knn'] - found['untrained']):+.1f}" if code == 0 else "diverged"
    print(f"{gain} points in {found['seconds']} s, loss {found['loss']:.3f}: {line.text}", flush=True)


@functools.cache  # planning a line takes a second
def line_of(given, text):
    return Line(given, text)


def lines(given):
    texts = [text.split("#")[0].strip() for text in given.queue.read_text().splitlines()]
    return [line_of(given, text) for text in texts if text]


def main():
    given = arguments()
    given.runs.mkdir(parents=True, exist_ok=True)
    if given.what == "table":
        write_table(given)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))  # what runs ends with it
    end = time.monotonic() + 60 * given.minutes
    if given.list:
        for line in lines(given):
            print("done" if done(given, line) else "left", line.text)
        return
    while time.monotonic() < end:
        line = next((line for line in lines(given) if not done(given, line)), None)
        if line is None:
            break
        run(given, line)


def gain(found):
    """In points; a run that has diverged has gained nothing."""
    return 0 if found["diverged"] else 100 * (found["knn"] - found["untrained"])


def share(of_plan, of_best):
    """The plan's gain in that of the best settings, over the seeds that both have."""
    seeds = sorted(of_plan.keys() & of_best.keys())
    most = sum(gain(of_best[seed]) for seed in seeds)
    return f"{sum(gain(of_plan[seed]) for seed in seeds) / most:.2f}" if most > 0 else "-"


def table(given):
    """A row for each method, data set and number of steps: the last plan that was measured, by seed, and the best of the search
    by the mean of its seeds."""
    plans, searched = {}, {}
    for found in results(given):
        method, data, steps, seed, given_options, _ = found["key"]
        row = (method, data, steps)
        if given_options:
            searched.setdefault(row, {}).setdefault(" ".join(found["line"].split()[4:]), {})[seed] = found
        else:
            plans.setdefault(row, {})[seed] = found
    lines = ["| method | data | steps | untrained | the plan gains | seeds | best by hand | share | with |", "|---" * 9 + "|"]
    for row in sorted({*plans, *searched}):
        of_plan = plans.get(row, {})
        means = {options: statistics.mean(map(gain, by_seed.values())) for options, by_seed in searched.get(row, {}).items()}
        best = max(means, key=means.get, default=None)
        untrained = [100 * found["untrained"] for found in (*of_plan.values(), *(searched[row][best].values() if best else ()))
                     if not found["diverged"]]
        mean = statistics.mean(map(gain, of_plan.values())) if of_plan else None
        lines.append("| " + " | ".join([
            row[0], row[1], str(row[2]), f"{statistics.mean(untrained):.1f}" if untrained else "-", "-" if mean is None else f"{mean:+.1f}",
            ", ".join(f"{seed}: {gain(of_plan[seed]):+.1f}" for seed in sorted(of_plan)) or "-",
            f"{means[best]:+.1f} ({len(means)} tried; seed {', '.join(map(str, sorted(searched[row][best])))})" if best else "-",
            share(of_plan, searched[row][best]) if best else "-", f"`{best}`" if best else "-"]) + " |")
    return lines


def write_table(given):
    lines = table(given)
    print(*lines, sep="\n")
    if not given.write:
        return
    text = given.write.read_text()
    if BEGIN not in text or END not in text:
        fail(f"{given.write} has no place for the table: {BEGIN} and {END}")
    given.write.write_text(text[:text.index(BEGIN)] + "\n".join([BEGIN, *lines, END]) + text[text.index(END) + len(END):])


main()
