"""Golden run of DeepCluster-v2 in float64. Writes deepcluster_v2.json beside this file.

Run by hand with PyTorch 2.11: python deepcluster_v2.py
The arithmetic is that of the released main_deepclusterv2.py on one GPU, written anew around a tiny network: banks filled by one pass in
training mode, spherical k-means for each head over the bank of its crop, prototypes that are its centroids, all crops predicting the
clusters, samples outside of the banks ignored, SGD with a warm-up and a cosine to its end. Two samples of twenty are dropped in each epoch, and three clusterings happen. The
order of samples and the first centroids are drawn as the library draws them. Banks and centroids are rounded to float32, as there.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

from sampler import clustering_seed, element
from tiny_method import FEATURES, Backbone, Sgd, chirp, flat, forward_by_size, gradients, save, single, state

torch.set_default_dtype(torch.float64)

SIZES = [12, 12, 8]  # two global crops and a local one
SAMPLES, ASSIGN, BATCH, EPOCHS, SEED = 20, 2, 6, 3, 5
HEADS, DIM, HIDDEN = [4, 5, 3], 5, 8
TEMPERATURE, ITERATIONS, FREEZE = 0.1, 10, 5
START_LR, LR, FINAL_LR, MOMENTUM, WEIGHT_DECAY = 0.05, 0.2, 0.002, 0.9, 0.01
STEPS = SAMPLES // BATCH
WARMUP, TOTAL = STEPS, EPOCHS * STEPS  # iterations
KEEP = [0, 4, 5, 8]  # steps whose gradients are written


def crop(sample, epoch, view):
    return chirp((3, SIZES[view], SIZES[view]), 1.7 * view, 0.6 * epoch, 1.1 * sample)


def batch(epoch, step):
    samples = [element(step * BATCH + i, SAMPLES, SEED, epoch) for i in range(BATCH)]
    return samples, [torch.stack([crop(s, epoch, v) for s in samples]) for v in range(len(SIZES))]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.projection_head = nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, DIM))
        self.prototypes = nn.Module()
        for h, k in enumerate(HEADS):
            self.prototypes.add_module(f"prototypes{h}", nn.Linear(DIM, k, bias=False))

    def embed(self, crops):
        return F.normalize(self.projection_head(forward_by_size(self.backbone, crops)), dim=1)

    def head(self, h):
        return getattr(self.prototypes, f"prototypes{h}")


def rate(iteration):
    if iteration < WARMUP:
        return START_LR + (LR - START_LR) * iteration / (WARMUP - 1)
    return FINAL_LR + 0.5 * (LR - FINAL_LR) * (1 + math.cos(math.pi * (iteration - WARMUP) / (TOTAL - WARMUP)))


@torch.no_grad()
def cluster(net, bank, index, epoch):
    clusters, objective = torch.full((len(HEADS), SAMPLES), -100, dtype=torch.long), None
    for h, k in enumerate(HEADS):
        points = bank[h % ASSIGN]
        places = [element(i, len(points), clustering_seed(SEED, epoch * len(HEADS) + h), 0) for i in range(k)]
        centroids = points[places].clone()
        for iteration in range(ITERATIONS + 1):
            best, found = (points @ centroids.t()).max(1)
            if iteration == ITERATIONS:
                break
            for c in range(k):
                if (found == c).any():
                    centroids[c] = points[found == c].mean(0)
            centroids = single(F.normalize(centroids, dim=1))
        net.head(h).weight.copy_(centroids)
        clusters[h][index] = found
        if h == 0:
            objective = (1 - best).mean().item()
    return clusters, objective


def main():
    torch.manual_seed(0)
    net = Network()
    net.train()
    out = {"start": flat(net.named_parameters()), "losses": [], "rates": [], "gradients": {}, "clusters": [], "objectives": []}
    bank = torch.zeros(ASSIGN, STEPS * BATCH, DIM)
    index = torch.zeros(STEPS * BATCH, dtype=torch.long)
    with torch.no_grad():
        for step in range(STEPS):
            samples, crops = batch(0, step)
            rows = slice(step * BATCH, (step + 1) * BATCH)
            bank[:, rows] = torch.stack([single(net.embed([crop])) for crop in crops[:ASSIGN]])
            index[rows] = torch.tensor(samples)
    sgd = Sgd(0, MOMENTUM, WEIGHT_DECAY)
    for epoch in range(EPOCHS):
        clusters, objective = cluster(net, bank, index, epoch)
        out["clusters"].append(clusters.flatten().tolist())
        out["objectives"].append(objective)
        for t in range(STEPS):
            iteration = epoch * STEPS + t
            samples, crops = batch(epoch, t)
            z = net.embed(crops)
            loss = 0
            for h in range(len(HEADS)):
                targets = clusters[h][samples].repeat(len(SIZES))
                loss = loss + F.cross_entropy(net.head(h)(z) / TEMPERATURE, targets, ignore_index=-100)
            loss = loss / len(HEADS)
            net.zero_grad()
            loss.backward()
            out["losses"].append(loss.item())
            if iteration in KEEP:
                out["gradients"][str(iteration)] = gradients(net.named_parameters())
            sgd.lr = rate(iteration)
            out["rates"].append(sgd.lr)
            sgd.step((n, p) for n, p in net.named_parameters() if iteration >= FREEZE or "prototypes" not in n)
            rows = slice(t * BATCH, (t + 1) * BATCH)
            bank[:, rows] = single(z.detach()[:ASSIGN * BATCH].view(ASSIGN, BATCH, DIM))
            index[rows] = torch.tensor(samples)
    out["end"] = state(net.state_dict().items())
    out["bank"] = bank.flatten().tolist()
    out["bank_samples"] = index.tolist()
    assert all(math.isfinite(x) for x in out["losses"])
    assert any(-100 in clusters for clusters in out["clusters"])
    save(__file__, out)
    print(out["losses"], out["objectives"])


if __name__ == "__main__":
    main()
