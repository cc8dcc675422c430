"""Golden k-means and mutual information. Writes kmeans.json beside this file.

Run by hand with numpy: python kmeans.py
k-means on the plane and on the sphere from given first centroids, point by point, as DeepCluster's and DeepCluster-v2's papers have it;
whitening by an eigendecomposition; mutual information by its definition.
"""
import json
import math
import pathlib

import numpy as np


def points(n, d):
    """Several chirps, so that inputs need no file; rounded to float32 as the library takes them."""
    i = np.arange(n * d, dtype=np.float64)
    group = np.repeat(np.arange(n) % 5, d)
    return (np.sin(0.9 * i + 0.001 * i * i) + 1.5 * np.cos(2.1 * group + (i % d))).reshape(n, d).astype(np.float32).astype(np.float64)


def kmeans(x, centroids, iterations, spherical):
    c, objective = centroids.copy(), []
    for iteration in range(iterations + 1):
        far = 1 - x @ c.T if spherical else ((x[:, None] - c[None]) ** 2).sum(2)
        a = far.argmin(1)
        objective.append(far[np.arange(len(x)), a].mean())
        if iteration == iterations:
            return c, a, objective
        for k in range(len(c)):
            if (a == k).any():
                c[k] = x[a == k].mean(0)
        if spherical:
            c /= np.linalg.norm(c, axis=1, keepdims=True)


def information(a, b):
    n = len(a)
    h = lambda labels: -sum((labels == v).mean() * math.log((labels == v).mean()) for v in np.unique(labels))
    mutual = 0
    for u in np.unique(a):
        for v in np.unique(b):
            joint = ((a == u) & (b == v)).sum() / n
            if joint > 0:
                mutual += joint * math.log(joint / ((a == u).mean() * (b == v).mean()))
    return mutual / math.sqrt(h(a) * h(b))


def main():
    n, d, k = 90, 6, 7
    x = points(n, d)
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
    out = {"n": n, "d": d, "k": k, "cases": []}
    for spherical, p in ((False, x), (True, unit)):
        c, a, objective = kmeans(p, p[5:5 + k], 6, spherical)
        out["cases"].append({"spherical": spherical, "centroids": c.flatten().tolist(), "assignments": a.tolist(), "objective": objective})
    centred = x - x.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / n)
    order = np.argsort(-values)[:4]
    out["whitened"] = (np.abs(centred @ vectors[:, order]) / np.sqrt(values[order])).flatten().tolist()
    a, b = np.arange(60) * 7 % 5, np.arange(60) * 3 % 11 // 3
    out["information"] = information(a, b)
    pathlib.Path(__file__).with_name("kmeans.json").write_text(json.dumps(out) + "\n")
    print(out["cases"][0]["objective"], out["cases"][1]["objective"], out["information"])


if __name__ == "__main__":
    main()
