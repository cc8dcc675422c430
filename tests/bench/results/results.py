#!/usr/bin/env python3
"""Makes the learning tables of docs/results.md: every method on CIFAR-10 and Tiny-ImageNet-50 over three seeds, beside an untrained
encoder, raw pixels, and lightly's SwAV and BYOL. One run a core, on one thread each. Stopped at any time, the same command goes on.

usage: scripts/results [--data DIR] [--peers PYTHON] [--out DIR] [--minutes N] [--only PATTERN] [--list] [--write]
  --data DIR      holds cifar10_jpegs/{train,test}/CLASS/ and tinyimagenet50/{train,val}/CLASS/ (default: UNLABEL_DATA)
  --peers PYTHON  interpreter with torch, torchvision, lightly and safetensors; without it lightly's runs are left out
  --out DIR       runs and results (default: build/results): DATA/METHOD-lrRATE-seedN-SETTINGS/, where result.json says that it is done
  --minutes N     stop after N minutes
  --only PATTERN  a regular expression: only jobs whose names (--list) it finds
  --list          name the jobs and what is done; run nothing
  --write         write the tables into docs/results.md at the end (with --list: at once), as far as they are there, and all results
                  into results.json beside this file: what is in it, of the same settings, is done
For trying out: --program FILE (default: build/release/unlabel), --slots N (default: one a core), --epochs N, --page FILE (results: its .json).
Ends with 0 when all is done, 75 when it was stopped, 1 when a job failed. Needs Linux.
"""
import argparse
import ctypes
import fcntl
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

# ---- The settings. What has changed here, in what is planned, or in lightly's scripts, is run anew: a job's folder carries a hash of them. ----

SEEDS = [0, 1, 2]
DATA = {
    "cifar10": {"title": "CIFAR-10", "folder": "cifar10_jpegs", "test": "test", "a_class": 1000, "epochs": 10,
                "mean": "0.4914,0.4822,0.4465", "std": "0.247,0.243,0.261"},
    "tinyimagenet50": {"title": "Tiny-ImageNet-50", "folder": "tinyimagenet50", "test": "val", "a_class": None, "epochs": 4,
                       "mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225"},
}
SIZE, WIDTH, BATCH, AREA, JITTER = 32, 16, 128, 0.4, 0.5
HIDDEN, PROTOTYPES = {"swav": 128, "byol": 1024}, 512  # lightly's documentation: as wide as the features; 1024; 512
ENCODER = {"encoder.arch": "resnet18", "encoder.width": WIDTH, "encoder.stem": "small"}
COMMON = {"batch-size": BATCH, "precision": "auto", **ENCODER, "augment.global-size": SIZE, "augment.global-scale": f"{AREA},1"}
# Flip, color jitter and grey are the same functions in both libraries; both views are of one kind, for BYOL too.
TWO_VIEWS = {"augment.preset": "simclr", "augment.local-count": 0, "augment.jitter": JITTER, "augment.blur": "no"}
SGD = {"optimizer.kind": "sgd", "optimizer.momentum": 0.9, "optimizer.weight-decay": 5e-4, "optimizer.exclude-bias-and-norm": "no",
       "schedule.kind": "cosine", "schedule.warmup-epochs": 0, "schedule.final-lr": 0}

# Of several rates the best one by seed 0 gets the other seeds. Options that are not given are the planner's (unlabel pretrain without
# --recipe): sizes of heads, clusters, queue, temperatures, momentum of MoCo's keys; for SwAV that the prototypes wait for an epoch.
METHODS = {
    "swav": {"title": "SwAV", "rates": [0.1, 0.4, 1.2], "options": {
        **TWO_VIEWS, **SGD, "swav.prototypes": PROTOTYPES, "swav.hidden-dim": HIDDEN["swav"], "swav.queue-length": 0}},
    # The loss is four times lightly's, so the rates are a quarter and the decay four times as large. The target's momentum rises to 1
    # and is .99 on average, which lightly's is throughout.
    "byol": {"title": "BYOL", "rates": [0.025, 0.1, 0.3], "options": {
        **TWO_VIEWS, **SGD, "optimizer.weight-decay": 2e-3, "byol.hidden-dim": HIDDEN["byol"], "byol.projection-dim": 256,
        "byol.base-momentum": 0.98}},
    "deepcluster_v2": {"title": "DeepCluster-v2", "rates": [0.4], "options": {**TWO_VIEWS, **SGD}},
    "simclr": {"title": "SimCLR", "rates": [0.2], "options": {**TWO_VIEWS, **SGD}},
    "moco": {"title": "MoCo v2", "rates": [0.03], "options": {**TWO_VIEWS, **SGD}},
    "deepcluster": {"title": "DeepCluster, Sobel filters in front", "rates": [0.05], "options": {"augment.preset": "deepcluster"}},
}
PEER_SCRIPTS = ["lightly_learn.py", "small_resnet.py"]  # in tests/bench
PEERS = {
    "swav": {"title": "lightly's SwAV", "rates": [0.1, 0.4, 1.2], "options": {"hidden": HIDDEN["swav"], "prototypes": PROTOTYPES}},
    "byol": {"title": "lightly's BYOL", "rates": [0.1, 0.4, 1.2], "options": {"hidden": HIDDEN["byol"], "momentum": 0.99}},
}
REFERENCES = {  # what is measured without training
    "untrained": {"title": "untrained", "subject": {"untrained": "yes", **ENCODER}, "seeds": SEEDS},
    "untrained_sobel": {"title": "untrained, Sobel filters in front", "subject": {"untrained": "yes", **ENCODER, "encoder.sobel": "yes"},
                        "seeds": SEEDS},
    "pixels": {"title": "raw pixels, centered", "subject": {"pixels": "yes"}, "seeds": SEEDS[:1]},
}
MEASURES = {"knn": {"protocol": "dino"}, "linear": {"protocol": "features"}}
CALLED = {"knn": "kNN", "linear": "the linear probe"}

# ----

ROOT = pathlib.Path(__file__).resolve().parents[3]
BEGIN, END = "<!-- scripts/results: begin -->", "<!-- scripts/results: end -->"
STOPPED, GIVE_UP = 75, 93


def fail(message):
    print(f"results: {message}", file=sys.stderr)
    sys.exit(2)


def cores():
    """Processors that may be used here, as the other scripts count them."""
    return int(subprocess.check_output(["bash", "-c", '. "$0"; cores', ROOT / "scripts/common.sh"]))


def arguments():
    parser = argparse.ArgumentParser(add_help=False, usage="scripts/results [OPTION...]; --help says which")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--data", type=pathlib.Path, default=os.environ.get("UNLABEL_DATA"))
    parser.add_argument("--peers", default="")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/results")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--only", default="")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/release/unlabel")
    parser.add_argument("--slots", type=int, default=cores())
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--page", type=pathlib.Path)
    given = parser.parse_args()
    if given.help:
        print(__doc__.strip())
        sys.exit()
    if not given.data:
        fail("where are the images? --data DIR, or UNLABEL_DATA")
    if not given.program.is_file():
        fail(f"{given.program} is not built yet: scripts/build release unlabel")
    if given.minutes is not None and given.minutes <= 0 or given.slots < 1:
        fail("--minutes and --slots must be above 0")
    given.out, given.program = given.out.absolute(), given.program.absolute()
    given.record = given.page.with_suffix(".json") if given.page else pathlib.Path(__file__).with_name("results.json")
    given.page = given.page or ROOT / "docs/results.md"
    given.recorded = json.loads(given.record.read_text()) if given.record.exists() else {}
    return given


def write(path, text):
    part = path.with_name(path.name + ".tmp")
    part.write_text(text)
    part.replace(path)


class Data:
    """A data set's folder with train and test (or val), and how many images are in them."""

    def __init__(self, name, given):
        self.name, self.setting = name, DATA[name]
        self.epochs = given.epochs or self.setting["epochs"]
        source = (given.data / self.setting["folder"]).resolve()
        if not (source / "train").is_dir():
            source = source / self.setting["folder"]  # unpacked into a folder of its own
        for part in ("train", self.setting["test"]):
            if not (source / part).is_dir():
                fail(f"--data {given.data}: there is no {self.setting['folder']}/{part} in it")
        self.source, self.folder = source, source
        self.files = {label: names[:self.setting["a_class"]] for label, names in self.listing(source).items()}
        self.train_images = sum(map(len, self.files.values()))
        self.test_images = sum(len(files) for _, _, files in os.walk(source / self.setting["test"]))
        if self.setting["a_class"]:
            self.folder = given.out / "data" / name

    @staticmethod
    def listing(folder):
        return {label.name: sorted(os.listdir(label)) for label in (folder / "train").iterdir() if label.is_dir()}

    def link(self):
        """Where not all is taken: the first images of each class as links, and the test images as they are."""
        test = self.folder / self.setting["test"]
        linked = test.is_symlink() and test.readlink() == self.source / test.name
        if self.folder == self.source or linked and self.listing(self.folder) == self.files:
            return
        if self.folder.exists() and not test.is_symlink():
            fail(f"{self.folder} is there, and scripts/results has not made it: choose another --out")
        part = self.folder.with_name(f"{self.name}.{os.getpid()}")
        for label, files in self.files.items():
            (part / "train" / label).mkdir(parents=True)
            for file in files:
                (part / "train" / label / file).symlink_to(self.source / "train" / label / file)
        (part / test.name).symlink_to(self.source / test.name)
        shutil.rmtree(self.folder, ignore_errors=True)
        part.rename(self.folder)


class Job:
    """One seed of one row at one learning rate: the commands that make it, each with the file that says that it is done."""

    def __init__(self, row, data, seed, rate=None):
        self.row, self.data, self.seed, self.rate = row, data, seed, rate
        self.settings = {"row": row.settings(data, rate), "seed": seed, "images": [data.train_images, data.test_images],
                         "measures": MEASURES, "view": [SIZE, data.setting["mean"], data.setting["std"]]}
        self.name = f"{data.name}/{row.key}{'' if rate is None else f'-lr{rate}'}-seed{seed}"
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:8]
        self.key = f"{self.name}-{digest}"
        self.folder = row.given.out / self.key
        self.encoder = self.folder / "run/encoder.safetensors"

    def steps(self):
        steps = [(self.encoder, self.row.training(self))] if self.rate is not None else []
        view = {"size": SIZE, "mean": self.data.setting["mean"], "std": self.data.setting["std"], "features.threads": 1}
        for measure, options in MEASURES.items():
            file = self.folder / f"{measure}.json"
            steps.append((file, [self.row.given.program, measure, *words({
                "data": self.data.folder, "json": file, "seed": self.seed, **view, **options, **self.row.subject(self)})]))
        return steps

    def result(self):
        try:
            return json.loads((self.folder / "result.json").read_text())
        except (OSError, ValueError):
            return self.row.given.recorded.get(self.key)

    def value(self, measure):
        """In percent; None when it is not there."""
        value = (self.result() or {}).get(measure)
        return None if value is None else 100 * value

    def finish(self, diverged=None):
        result = {"settings": self.settings, "commit": commit(), "seconds": self.seconds()}
        if diverged:
            result["diverged"] = diverged
        else:
            measured = {measure: json.loads((self.folder / f"{measure}.json").read_text()) for measure in MEASURES}
            result |= {measure: found["value"] for measure, found in measured.items()}
            result["converged"] = measured["linear"].get("converged", True)
        if self.row.watched:
            result["collapse"] = self.flags()
        if said := re.search("^lightly [^:]*", (self.folder / "log").read_text(errors="replace"), re.MULTILINE):
            result["by"] = said[0]
        write(self.folder / "result.json", json.dumps(result, indent=2) + "\n")
        self.tidy()

    def flags(self):
        """What the collapse monitor said, and when first."""
        first = {}
        for line in map(json.loads, (self.folder / "run/metrics.jsonl").read_text().splitlines()):
            for warning in line.get("warnings", []):
                first.setdefault(warning.split(" is ")[0], line["step"])
        return [f"{sign} at step {step}" for sign, step in first.items()]

    def tidy(self):
        """What only a run that goes on would need."""
        shutil.rmtree(self.folder / "run/checkpoints", ignore_errors=True)
        self.encoder.with_name(self.encoder.name + ".epoch").unlink(missing_ok=True)

    def seconds(self):
        """Spent by the wall clock on each step, over all starts."""
        file = self.folder / "seconds.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def add_seconds(self, step, more):
        seconds = self.seconds()
        write(self.folder / "seconds.json", json.dumps(seconds | {step: seconds.get(step, 0) + more}))


class Row:
    """One line of the tables: a method, or a reference."""
    watched = False  # by the collapse monitor

    def __init__(self, key, entry, given):
        self.key, self.title, self.given = key, entry["title"], given
        self.rates, self.entry, self.seeds = entry.get("rates", [None]), entry, entry.get("seeds", SEEDS)

    def trials(self, data):
        return [Job(self, data, self.seeds[0], rate) for rate in self.rates]

    def best(self, data):
        """The rate with the highest kNN of the first seed, once all are measured; None before, and when none has learned."""
        trials = self.trials(data)
        if len(trials) == 1:
            return trials[0]
        measured = [trial for trial in trials if trial.value("knn") is not None]
        if not measured or not all(trial.result() for trial in trials):
            return None
        return max(measured, key=lambda trial: trial.value("knn"))

    def jobs(self, data):
        """Of all seeds at the best rate; None while it is not known."""
        best = self.best(data)
        return best and [best, *(Job(self, data, seed, best.rate) for seed in self.seeds[1:])]


class Ours(Row):
    watched = True

    def options(self, data, rate):
        return {"epochs": data.epochs, **COMMON, "precision": native_precision(self.given.program, data.folder),
                "augment.mean": data.setting["mean"], "augment.std": data.setting["std"], **self.entry["options"], "optimizer.lr": rate}

    @functools.cache
    def planned(self, data, rate):
        """What the program makes of the options that are not given."""
        options = {"data": data.folder / "train", "out": self.given.out / "explained", **self.options(data, rate)}
        command = [self.given.program, "pretrain", self.key, "--explain", "--json", "-", *words(options)]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode:
            fail(f"{self.key} cannot be planned: {(done.stderr.splitlines() or ['no message'])[-1]}")
        return {item["setting"]: item["here"] for item in json.loads(done.stdout)["settings"]
                if item["why"] != "given" and item["setting"] != "precision"}

    def settings(self, data, rate):
        return {"method": self.key, **self.options(data, rate), "planned": self.planned(data, rate)}

    def training(self, job):
        return [self.given.program, "pretrain", self.key, *words({
            "data": job.data.folder / "train", "out": job.folder / "run", "threads": 0, "seed": job.seed, "checkpoint.every": "5min",
            "checkpoint.keep": 1, **self.options(job.data, job.rate)})]

    def subject(self, job):
        return {"checkpoint": job.encoder}


class Peer(Row):
    def __init__(self, key, entry, given):
        super().__init__(f"lightly_{key}", entry, given)
        self.method = key

    def settings(self, data, rate):
        frozen = {"frozen": data.train_images // BATCH} if self.method == "swav" else {}  # an epoch, as the planner has it
        return {"lightly": self.method, "scripts": peer_scripts(), "epochs": data.epochs, "batch": BATCH, "width": WIDTH, "size": SIZE, "area": AREA, "jitter": JITTER,
                "mean": data.setting["mean"], "std": data.setting["std"], **self.entry["options"], **frozen, "lr": rate}

    def training(self, job):
        settings = {name: value for name, value in job.settings["row"].items() if name != "scripts"}
        (job.folder / "run").mkdir(exist_ok=True)
        return [self.given.peers, ROOT / "tests/bench" / PEER_SCRIPTS[0], settings.pop("lightly"), job.data.folder / "train",
                *(["--bf16"] if native_precision(self.given.program, job.data.folder) == "bf16" else []), *words({"out": job.encoder, "seed": job.seed, **settings})]

    def subject(self, job):
        return {"checkpoint": job.encoder, **ENCODER}


class Reference(Row):
    def settings(self, data, rate):
        return self.entry["subject"]

    def subject(self, job):
        return self.entry["subject"]


def words(options):
    return [word for name, value in options.items() for word in (f"--{name}", value)]


@functools.cache
def native_precision(program, folder):
    """What `--precision auto` is here, by name: results of other precisions are others."""
    command = [program, "pretrain", "swav", "--data", folder / "train", "--precision", "auto", "--explain", "--json", "-"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        fail(f"no precision is known: {(done.stderr.splitlines() or ['no message'])[-1]}")
    return next(item["here"] for item in json.loads(done.stdout)["settings"] if item["setting"] == "precision")


@functools.cache
def peer_scripts():
    return hashlib.sha256(b"".join((ROOT / "tests/bench" / name).read_bytes() for name in PEER_SCRIPTS)).hexdigest()[:8]


@functools.cache
def commit():
    def git(*command):
        return subprocess.run(["git", "-C", ROOT, *command], capture_output=True, text=True).stdout.strip()
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (
        " with local changes" if git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs") else "")


class Work:
    """All jobs, and those that run."""

    def __init__(self, given):
        self.given = given
        self.data = [Data(name, given) for name in DATA]
        for data in self.data:
            data.link()
        self.rows = [kind(key, entry, given) for kind, entries in ((Ours, METHODS), (Peer, PEERS), (Reference, REFERENCES))
                     for key, entry in entries.items()]
        self.running, self.failed, self.stopping = {}, {}, False

    def jobs(self, data):
        """Those that are known, seed by seed, so that rates are compared first; and how many wait for a rate."""
        jobs, waiting = {}, 0
        for row in self.rows:
            chosen = row.jobs(data)
            jobs |= {job.name: job for job in [*row.trials(data), *(chosen or [])]}
            waiting += 0 if chosen else len(row.seeds) - 1
        return sorted(jobs.values(), key=lambda job: job.seed), waiting

    def wanted(self):
        known = [self.jobs(data) for data in self.data]
        return [job for jobs, _ in known for job in jobs if re.search(self.given.only, job.name)], sum(waiting for _, waiting in known)

    def runs(self, job):
        return self.given.peers or not isinstance(job.row, Peer)

    def next(self):
        busy = {job.name for job, *_ in self.running.values()}
        return next((job for job in self.wanted()[0]
                     if self.runs(job) and job.name not in busy and job.name not in self.failed and not job.result()), None)

    def start(self, job):
        """The job's first step that is not done; with none left, its result."""
        try:
            job.folder.mkdir(parents=True, exist_ok=True)
            for file, command in job.steps():
                if not file.exists():
                    self.launch(job, file, list(map(str, command)))
                    return
        except OSError as error:
            self.fail(job, repr(error))
        else:
            self.finish(job)

    def launch(self, job, file, command):
        with open(job.folder / "log", "a") as log:
            print("$", *command, file=log, flush=True)
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                                     preexec_fn=end_with_parent, pass_fds=[self.lock], env=dict(os.environ, OMP_NUM_THREADS="1"))
        self.running[child.pid] = job, file, child, time.monotonic()
        if self.stopping:
            child.terminate()

    def finish(self, job, diverged=None):
        try:
            job.finish(diverged)
        except (OSError, ValueError, KeyError) as error:
            self.fail(job, repr(error))
        else:
            print(f"{job.name}: {told(job)}", flush=True)

    def fail(self, job, reason):
        self.failed[job.name] = f"{reason} ({job.folder}/log)"
        print(f"{job.name}: failed", flush=True)

    def wait(self):
        """For one child, and starts what follows it."""
        pid = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT).si_pid
        job, file, child, began = self.running.pop(pid)
        code = child.wait()
        job.add_seconds("train" if file == job.encoder else file.stem, time.monotonic() - began)
        last = (job.folder / "log").read_text(errors="replace").splitlines()[-1]
        if code == GIVE_UP and "not finite" in last:  # too large a rate is a result too
            self.finish(job, diverged=last)
        elif code == 0 and file.exists():
            if not self.stopping:
                self.start(job)
        elif not self.stopping:
            self.fail(job, f"ended with {code}: {last}")

    def stop(self, *_):
        self.stopping = True
        for _, _, child, _ in list(self.running.values()):
            child.terminate()

    def run(self):
        self.given.out.mkdir(parents=True, exist_ok=True)
        self.lock = os.open(self.given.out / ".lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # children hold it too, and may still be saving
            print(f"waiting for another scripts/results in {self.given.out} to end", flush=True)
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        except OSError as error:  # no locks here, as on some clusters' disks
            print(f"warning: {self.given.out} cannot be locked ({error.strerror}): start no second scripts/results there", flush=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, self.stop)
        if self.given.minutes:
            signal.setitimer(signal.ITIMER_REAL, 60 * self.given.minutes)
        commit()  # the one that is there now, whatever is committed meanwhile
        for job in self.wanted()[0]:
            if job.result():
                job.tidy()
        while True:
            while not self.stopping and len(self.running) < self.given.slots and (job := self.next()):
                self.start(job)
            if not self.running:
                return
            self.wait()

    def without_rate(self):
        """Rows all of whose rates have diverged."""
        return [f"{data.name}/{row.key}" for data in self.data for row in self.rows
                if not row.best(data) and all(trial.result() for trial in row.trials(data))]

    def summary(self):
        jobs, waiting = self.wanted()
        done = sum(job.result() is not None for job in jobs)
        waiting = 0 if self.given.only else waiting
        print(f"{done} done, {len(jobs) - done + waiting} left" + (f", of which {waiting} wait for a learning rate" if waiting else ""))
        if not self.given.list and not all(map(self.runs, jobs)):
            print("lightly's runs are left out: give --peers")
        for name, reason in self.failed.items():
            print(f"failed: {name}: {reason}")
        for name in self.without_rate():
            print(f"failed: {name}: every learning rate diverged; give lower ones at the top of tests/bench/results/results.py")


def end_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def told(job):
    result = job.result()
    if result is None:
        return "-"
    parts = ["diverged"] if "diverged" in result else [f"kNN {job.value('knn'):.2f}", f"linear {job.value('linear'):.2f}"]
    if "train" in result["seconds"]:
        parts.append(f"{result['seconds']['train'] / 60:.1f} min")
    return ", ".join(parts + [f"flagged: {flag}" for flag in result.get("collapse", [])])


# ---- The page ----

def table(head, rows):
    lines = ["| " + " | ".join(row) + " |" for row in [head, *rows]]
    return [lines[0], "|---" * len(head) + "|", *lines[1:]]


def values(jobs, measure):
    """Of the seeds that are measured."""
    return [value for job in jobs or [] if (value := job.value(measure)) is not None]


def mean_text(found):
    if not found:
        return "-"
    return f"{statistics.mean(found):.1f}" + (f" ± {statistics.stdev(found):.1f}" if len(found) > 1 else "")


def seeds_text(row, jobs, measure):
    if len(row.seeds) == 1:
        return ""
    return ", ".join("-" if (value := job.value(measure)) is None else f"{value:.1f}" for job in jobs or []) or "-"


def verdict(row, jobs):
    results = [(job, job.result()) for job in jobs or []]
    said = [f"seed {job.seed}: {flag}" for job, result in results if result for flag in result.get("collapse", [])]
    said += [f"seed {job.seed} diverged" for job, result in results if result and "diverged" in result]
    if said or not row.watched:
        return "; ".join(said)
    return "none" if results and all(result for _, result in results) else "-"


def line_of(row, jobs):
    minutes = [result["seconds"]["train"] / 60 for job in jobs or [] if (result := job.result()) and "train" in result["seconds"]]
    learns = not isinstance(row, Reference)
    rate = f"{jobs[0].rate:g}" if jobs and learns else "-"
    minute = f"{statistics.mean(minutes):.1f}" if minutes else "-"
    figures = [text for measure in MEASURES for text in (mean_text(values(jobs, measure)), seeds_text(row, jobs, measure))]
    return [row.title, rate if learns else "", *figures, minute if learns else "", verdict(row, jobs)]


def rates_of(row, data):
    best = row.best(data)
    cells = []
    for job in row.trials(data):
        value, result = job.value("knn"), job.result() or {}
        text = f"{job.rate:g}: " + ("diverged" if "diverged" in result else "-" if value is None else f"{value:.1f}")
        text = f"**{text}**" if best and job.rate == best.rate else text
        cells.append(text + "".join(f" ({flag})" for flag in result.get("collapse", [])))
    return [row.title, *cells]


def differences(chosen):
    """Sentences about how the means of all seeds stand to each other, as far as they are there."""
    means = {key: {measure: statistics.mean(found) for measure in MEASURES if len(found := values(jobs, measure)) == len(jobs or [0])}
             for key, jobs in chosen.items()}
    sentences = []
    for key in PEERS:
        ours, theirs = means[key], means[f"lightly_{key}"]
        if len(ours) == len(theirs) == len(MEASURES):
            points = " and ".join(f"{ours[measure] - theirs[measure]:+.1f} points by {CALLED[measure]}" for measure in MEASURES)
            sentences.append(f"{METHODS[key]['title']} beside lightly's: {points}.")
    gains = []
    for key, entry in METHODS.items():
        base = means["untrained_sobel" if key == "deepcluster" else "untrained"]
        gains += [(means[key][measure] - base[measure], entry["title"].split(",")[0], CALLED[measure])
                  for measure in MEASURES if measure in means[key] and measure in base]
    if gains:
        gain, title, measure = min(gains)
        sentences.append(f"The least gain over an untrained encoder of its kind: {gain:+.1f} points ({title}, {measure}).")
    return sentences


def part_of(work, data):
    chosen = {row.key: row.jobs(data) for row in work.rows}
    jobs, waiting = work.jobs(data)
    missing = waiting + sum(job.result() is None for job in jobs)
    flagged = [job.name.split("/")[1] for found in chosen.values() for job in found or [] if (job.result() or {}).get("collapse")]
    unfinished = [job.name.split("/")[1] for job in jobs if not (job.result() or {}).get("converged", True)]
    sentences = differences(chosen)
    if missing:
        sentences.append(f"{missing} of {len(jobs) + waiting} runs are missing.")
    sentences.append(f"Flagged as collapsed: {', '.join(flagged) or 'none'}.")
    if unfinished:
        sentences.append(f"The linear probe did not converge: {', '.join(unfinished)}.")
    seeds = ", ".join(map(str, SEEDS))
    return [
        f"### {data.setting['title']}", "",
        f"{data.train_images:,} training and {data.test_images:,} test images, {data.epochs} epochs.", "",
        *table(["", "rate", "kNN (`dino`)", f"seeds {seeds}", "linear (`features`)", f"seeds {seeds}", "minutes", "collapse"],
               [line_of(row, chosen[row.key]) for row in work.rows]), "",
        *sentences, "",
        "Rates, by kNN of seed 0:", "",
        *table(["", "low", "middle", "high"], [rates_of(row, data) for row in work.rows if len(row.rates) > 1]), ""]


def write_page(work):
    record = {job.key: result for data in work.data for job in work.jobs(data)[0] if (result := job.result())}
    write(work.given.record, json.dumps(record, indent=1, sort_keys=True) + "\n")
    results = list(record.values())
    commits = sorted({result["commit"] for result in results})
    hours = sum(sum(result["seconds"].values()) for result in results) / 3600
    lines = [line for data in work.data for line in part_of(work, data)]
    peers = sorted({result["by"] for result in results if "by" in result})
    if results:
        lines.append(f"At commit {', '.join(f'`{name}`' for name in commits)}; {hours:.1f} hours of one core in all." +
                     (f" Peers: {'; '.join(peers)}." if peers else ""))
    page = work.given.page
    text = page.read_text()
    if BEGIN not in text or END not in text:
        fail(f"{page} has no place for the tables: {BEGIN} and {END}")
    write(page, text[:text.index(BEGIN)] + "\n".join([BEGIN, *lines, END]) + text[text.index(END) + len(END):])


def main():
    given = arguments()
    work = Work(given)
    if given.list:
        for job in work.wanted()[0]:
            print(f"{job.name}: {told(job)}")
    else:
        work.run()
    if given.write:
        write_page(work)
    work.summary()
    if work.failed or work.without_rate():
        sys.exit(1)
    sys.exit(STOPPED if work.stopping else 0)


if __name__ == "__main__":
    main()
