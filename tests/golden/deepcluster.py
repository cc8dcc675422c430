"""Golden run of DeepCluster in float64. Writes deepcluster.json beside this file.

Run by hand with PyTorch 2.11: python deepcluster.py
The arithmetic is that of the released code, written anew around a tiny network: features of all images in evaluation mode, whitened by PCA
and scaled to length 1, k-means on the plane, a new top layer each epoch with SGD of its own without momentum, SGD with momentum for
the rest. Three clusterings happen. The order of samples is given here; first centroids and top layers are drawn as the library draws
them. Features, points and centroids are rounded to float32, as there.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

from sampler import clustering_seed, element
from tiny_method import FEATURES, Backbone, Sgd, flat, gradients, save, single, state

torch.set_default_dtype(torch.float64)

SIZE, SAMPLES, BATCH, EPOCHS, STEPS, SEED = 12, 30, 6, 3, 4, 5
CLUSTERS, PCA, ITERATIONS = 5, 4, 20
LR, TOP_LR, MOMENTUM, WEIGHT_DECAY = 0.1, 0.3, 0.9, 0.01
KEEP = [0, 3, 4, 11]  # steps whose gradients are written


def image(sample, epoch):
    """A chirp of each sample, another one in each epoch; epoch -1 is the view that features are taken of."""
    i = torch.arange(3 * SIZE * SIZE, dtype=torch.float64)
    return torch.sin((0.2 + 0.1 * sample) * i + 0.001 * i * i + 0.6 * epoch).view(3, SIZE, SIZE)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.top_layer = nn.Linear(FEATURES, CLUSTERS)


@torch.no_grad()
def cluster(net, epoch):
    net.eval()
    x = single(net.backbone(torch.stack([image(s, -1) for s in range(SAMPLES)])))
    net.train()
    centred = x - x.mean(0)
    values, vectors = torch.linalg.eigh(centred.t() @ centred / SAMPLES)
    white = centred @ vectors[:, -PCA:] / values[-PCA:].sqrt()
    points = single(F.normalize(white, dim=1))
    centroids = points[[element(i, SAMPLES, clustering_seed(SEED, epoch), 0) for i in range(CLUSTERS)]].clone()
    for iteration in range(ITERATIONS + 1):
        found = torch.cdist(points, centroids).argmin(1)
        if iteration == ITERATIONS:
            return found
        for k in range(CLUSTERS):
            assert (found == k).any()
            centroids[k] = single(points[found == k].mean(0))


def main():
    torch.manual_seed(0)
    net = Network()
    out = {"start": flat(net.named_parameters()), "losses": [], "gradients": {}, "clusters": []}
    sgd, top_sgd = Sgd(LR, MOMENTUM, WEIGHT_DECAY), Sgd(TOP_LR, 0, WEIGHT_DECAY)
    for epoch in range(EPOCHS):
        clusters = cluster(net, epoch)
        out["clusters"].append(clusters.tolist())
        generator = torch.Generator().manual_seed(clustering_seed(SEED, epoch))
        with torch.no_grad():
            net.top_layer.weight.copy_(torch.empty(CLUSTERS, FEATURES, dtype=torch.float32).normal_(0, 0.01, generator=generator))
            net.top_layer.bias.zero_()
        for t in range(STEPS):
            step = epoch * STEPS + t
            samples = [element(t * BATCH + i, SAMPLES, SEED, epoch) for i in range(BATCH)]
            scores = net.top_layer(F.relu(net.backbone(torch.stack([image(s, epoch) for s in samples]))))
            loss = F.cross_entropy(scores, clusters[samples])
            net.zero_grad()
            loss.backward()
            out["losses"].append(loss.item())
            if step in KEEP:
                out["gradients"][str(step)] = gradients(net.named_parameters())
            sgd.step(net.backbone.named_parameters())
            top_sgd.step(net.top_layer.named_parameters())
    out["end"] = state(net.state_dict().items())
    assert all(math.isfinite(x) for x in out["losses"])
    save(__file__, out)
    print(out["losses"])


if __name__ == "__main__":
    main()
