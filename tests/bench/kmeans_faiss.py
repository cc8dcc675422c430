#!/usr/bin/env python3
"""Compares time and objective of ssl/clustering/kmeans with faiss's k-means, from the same initial centroids, with the same numbers of
iterations and threads.

usage: kmeans_faiss.py --unlabel build/release/bin/unlabel_kmeans [--features FILE.npy]... [--rounds 5] [--iterations 20]
                       [--threads 1,2] [--only PATTERN]
Needs numpy and faiss-cpu in the Python interpreter that runs it. FILE.npy: features of images written by `unlabel embed`; the other data
are Gaussian mixtures from a fixed seed. PATTERN is a regular expression that selects data by name.

In each round both programs run once, each in its own process after a warm-up of one iteration, so that other load on the machine affects
both. Both compute centroids and the cluster of every point: faiss by train and assign, unlabel by one call. faiss runs with its defaults,
but without subsampling, the check for NaN, and early stopping. Ratios are those of medians, with the minimum and maximum over the rounds.
"By CPU time" is less affected by other load, but includes waiting threads. "Train alone" excludes faiss's assign, which is one pass over
the points less. The objective, mean |x - c|^2, or mean 1 - x . c on the sphere, is computed here from the centroids of each.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

SPHERE, PLANE = "sphere", "plane"
MIXTURES = [(50000, 128, 1000, SPHERE), (100000, 256, 1000, PLANE), (10000, 128, 300, PLANE), (10000, 128, 300, SPHERE)]
OF_FEATURES = [(1000, PLANE), (1000, SPHERE)]


def faiss_kmeans(points, first, d, iterations, space, centroids):
    """One run by faiss, in a process of its own: the arguments are those of kmeans.cpp."""
    import faiss
    x, first = (np.fromfile(name, np.float32).reshape(-1, int(d)) for name in (points, first))

    def run(count):
        # spherical: faiss searches by inner products, and normalizes the centroids, the first ones too.
        kmeans = faiss.Kmeans(int(d), len(first), niter=count, nredo=1, spherical=space == SPHERE, max_points_per_centroid=len(x),
                              min_points_per_centroid=1, check_input_data_for_NaNs=False, early_stop_threshold=-1)
        begin, cpu_begin = time.perf_counter(), time.process_time()
        kmeans.train(x, init_centroids=first)
        trained = time.perf_counter()
        kmeans.assign(x)
        assert len(kmeans.iteration_stats) == count
        return kmeans, {"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - cpu_begin, "train": trained - begin}

    run(1)
    kmeans, times = run(int(iterations))
    kmeans.centroids.tofile(centroids)
    print(json.dumps({**times, "threads": faiss.omp_get_max_threads(),
                      "split": sum(stats["nsplit"] for stats in kmeans.iteration_stats)}))


def mixture(n, d, components, random):
    """Points about centers as far from each other as the points are wide, with clusters of unequal size."""
    shares = random.dirichlet(np.full(components, 2.0))
    centers = random.standard_normal((components, d), dtype=np.float32)
    return centers[random.choice(components, n, p=shares)] + random.standard_normal((n, d), dtype=np.float32)


def objective(points, centroids, space):
    total = 0.0
    for begin in range(0, len(points), 8192):
        x, c = points[begin:begin + 8192].astype(np.float64), centroids.astype(np.float64)
        if space == SPHERE:
            total += (1 - (x @ c.T).max(1)).sum()
        else:
            total += ((x * x).sum(1) + ((c * c).sum(1) - 2 * x @ c.T).min(1)).sum()
    return total / len(points)


def run(command, threads, *arguments):
    done = subprocess.run([*command, *map(str, arguments)], env=dict(os.environ, OMP_NUM_THREADS=str(threads)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr[-2000:]}")
    result = json.loads(done.stdout)
    assert result["threads"] == threads
    return result


def spread(results):
    values = [result["seconds"] for result in results]
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--unlabel", required=True)
    parser.add_argument("--features", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--only", default="", help="a regular expression")
    options = parser.parse_args()
    contenders = {"unlabel": [options.unlabel], "faiss": [sys.executable, __file__, "faiss"]}

    data = [(f"mixture, {n} x {d}, K = {k}, {space}", (n, d), k, space) for n, d, k, space in MIXTURES]
    for name in options.features:
        shape = np.load(name, mmap_mode="r").shape
        data += [(f"{os.path.basename(name)}, {shape[0]} x {shape[1]}, K = {k}, {space}", name, k, space) for k, space in OF_FEATURES]

    print("| data | threads | unlabel, s | faiss, s | unlabel / faiss | by CPU time | train alone | unlabel's objective | difference |")
    print("|---" * 9 + "|")
    missed, restless = [], []
    for name, source, k, space in data:
        if not re.search(options.only, name):
            continue
        random = np.random.default_rng(0)
        points = mixture(*source, k // 2, random) if isinstance(source, tuple) else np.load(source).astype(np.float32)
        if space == SPHERE:
            points /= np.linalg.norm(points, axis=1, keepdims=True)
        first = points[random.choice(len(points), k, replace=False)]
        with tempfile.TemporaryDirectory() as folder:
            points.tofile(f"{folder}/points")
            first.tofile(f"{folder}/first")
            ours = None
            for threads in map(int, options.threads.split(",")):
                results, ends = {who: [] for who in contenders}, {who: [] for who in contenders}
                for round_number in range(options.rounds):
                    for who, command in contenders.items():
                        results[who].append(run(command, threads, f"{folder}/points", f"{folder}/first", points.shape[1],
                                                options.iterations, space, f"{folder}/centroids"))
                        ends[who].append(np.fromfile(f"{folder}/centroids", np.float32).reshape(k, -1))
                    print(f"round {round_number + 1}: {name}, {threads} threads: " + ", ".join(
                        f"{who} {values[-1]['seconds']:.3f} s, {values[-1]['split']} split" for who, values in results.items()),
                        file=sys.stderr, flush=True)
                median = {(who, key): statistics.median(result[key] for result in values)
                          for who, values in results.items() for key in ("seconds", "cpu_seconds")}
                ratio = {key: median["unlabel", key] / median["faiss", key] for key in ("seconds", "cpu_seconds")}
                ratios = [a["seconds"] / b["seconds"] for a, b in zip(results["unlabel"], results["faiss"])]
                train = statistics.median(result["train"] for result in results["faiss"])
                reached = {who: objective(points, values[-1], space) for who, values in ends.items()}
                difference = reached["unlabel"] / reached["faiss"] - 1
                print(f"| {name} | {threads} | {spread(results['unlabel'])} | {spread(results['faiss'])} "
                      f"| **{ratio['seconds']:.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) | {ratio['cpu_seconds']:.2f} "
                      f"| {median['unlabel', 'seconds'] / train:.2f} | {reached['unlabel']:.6g} | {100 * difference:+.3f} % |", flush=True)
                label = f"{name}, {threads} threads"
                if ratio["seconds"] > 1 or abs(difference) > 0.005:
                    missed.append(label)
                ours = ends["unlabel"][0] if ours is None else ours
                if any(not np.array_equal(values, ours) for values in ends["unlabel"]):
                    restless.append(label)
    print(f"\nSlower than faiss, or another objective by more than 0.5 %: {'; '.join(missed) or 'none'}.")
    print(f"unlabel's centroids differ between rounds or numbers of threads: {'; '.join(restless) or 'nowhere'}.")


if sys.argv[1:2] == ["faiss"]:
    faiss_kmeans(*sys.argv[2:])
else:
    main()
