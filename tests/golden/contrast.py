"""Golden runs of SimCLR and MoCo v2 in float64. Writes contrast.json beside this file.

Run by hand with PyTorch 2.11: python contrast.py
The arithmetic is that of the released codes on one device, written anew around a tiny network. SimCLR: both views in one pass, similarities
view against view with an image's own masked, the sum of the two means of cross entropies. MoCo (the queries' norm over the whole batch): a key
network that moves before each forward pass, keys of a shuffled batch normalised in groups, a queue that begins with random directions,
with the newest keys in front; it is filled more than once. SimCLR learns by its LARS, whose momentum holds the rates, after a linear warm-up along a
cosine; MoCo by SGD and a cosine that moves once an epoch. Both run over the end of the schedule.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

from sampler import element
from tiny_method import FEATURES, Backbone, Sgd, chirp, flat, gradients, save, state

torch.set_default_dtype(torch.float64)

SIZE, BATCH, STEPS = 12, 8, 11
TOTAL, EPOCH, WARMUP = 9, 3, 3  # iterations of the schedule, of an epoch, and of SimCLR's warm-up
HIDDEN, DIM = 8, 5
LR, MOMENTUM, WEIGHT_DECAY, ETA = {"simclr": 0.5, "moco": 0.2}, 0.9, 0.01, 0.05
TEMPERATURE = {"simclr": 0.1, "moco": 0.2}
KEY_MOMENTUM, QUEUE, NORM_GROUP, SEED = 0.9, 20, 4, 5
KEEP = [0, 1, 4, 10]  # steps whose gradients are written


def view(step, number):
    return chirp((BATCH, 3, SIZE, SIZE), 1.7 * number, 0.6 * step)


def simclr_network():
    norm = nn.BatchNorm1d(DIM)
    norm.bias.requires_grad = False
    head = nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, DIM, bias=False), norm)
    return nn.ModuleDict({"backbone": Backbone(), "projector": head})


def simclr_loss(net, step):
    z = F.normalize(net["projector"](net["backbone"](torch.cat([view(step, 0), view(step, 1)]))), dim=1)
    a, b = z[:BATCH], z[BATCH:]
    mask = torch.eye(BATCH) * 1e9
    labels = torch.arange(BATCH)
    t = TEMPERATURE["simclr"]
    aa, bb, ab, ba = a @ a.t() / t - mask, b @ b.t() / t - mask, a @ b.t() / t, b @ a.t() / t
    return (F.cross_entropy(torch.cat([ab, aa], 1), labels) + F.cross_entropy(torch.cat([ba, bb], 1), labels))


def moco_network():
    head = nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, DIM))
    return nn.ModuleDict({"backbone": Backbone(), "projector": head})


class Moco:
    def __init__(self, net):
        self.net, self.key = net, moco_network()
        self.key.load_state_dict(net.state_dict())
        self.queue = F.normalize(torch.randn(QUEUE, DIM), dim=1)
        self.first_queue = self.queue.clone()

    def loss(self, step):
        q = F.normalize(self.net["projector"](self.net["backbone"](view(step, 0))), dim=1)
        with torch.no_grad():
            for k, p in zip(self.key.parameters(), self.net.parameters()):
                k.copy_(KEY_MOMENTUM * k + (1 - KEY_MOMENTUM) * p)
            order = torch.tensor([element(i, BATCH, SEED, step) for i in range(BATCH)])
            images = view(step, 1)[order]
            shuffled = torch.cat([self.key["projector"](self.key["backbone"](g)) for g in images.split(NORM_GROUP)])
            keys = torch.empty_like(shuffled)
            keys[order] = F.normalize(shuffled, dim=1)
        logits = torch.cat([(q * keys).sum(1, keepdim=True), q @ self.queue.t()], 1) / TEMPERATURE["moco"]
        self.queue = torch.cat([keys, self.queue[:-BATCH]])
        return F.cross_entropy(logits, torch.zeros(BATCH, dtype=torch.long))


class Lars:
    """SimCLR's: biases and norms neither decay nor adapt."""

    def __init__(self):
        self.lr, self.updates = 0, {}

    @torch.no_grad()
    def step(self, parameters):
        for n, p in parameters:
            g, scaled = p.grad, self.lr
            if p.dim() > 1:
                g = g + WEIGHT_DECAY * p
                if p.norm() > 0 and g.norm() > 0:
                    scaled = self.lr * ETA * p.norm() / g.norm()
            self.updates[n] = MOMENTUM * self.updates.get(n, 0) + scaled * g
            p -= self.updates[n]


def simclr_rate(step):
    if step < WARMUP:
        return LR["simclr"] * step / WARMUP
    return LR["simclr"] * 0.5 * (1 + math.cos(math.pi * min(step - WARMUP, TOTAL - WARMUP) / (TOTAL - WARMUP)))


def moco_rate(step):
    return LR["moco"] * 0.5 * (1 + math.cos(math.pi * min(step // EPOCH, TOTAL // EPOCH) / (TOTAL // EPOCH)))


def train(net, optimizer, rate, loss_of):
    out = {"start": flat((n, p) for n, p in net.named_parameters() if p.requires_grad), "losses": [], "rates": [], "gradients": {}}
    learning = {n: p for n, p in net.named_parameters() if p.requires_grad}
    for step in range(STEPS):
        loss = loss_of(step)
        net.zero_grad()
        loss.backward()
        out["losses"].append(loss.item())
        if step in KEEP:
            out["gradients"][str(step)] = gradients(learning.items())
        optimizer.lr = rate(step)
        out["rates"].append(optimizer.lr)
        optimizer.step(learning.items())
    out["end"] = state(net.state_dict().items())
    assert all(math.isfinite(x) for x in out["losses"])
    return out


def main():
    torch.manual_seed(0)
    net = simclr_network()
    simclr = train(net, Lars(), simclr_rate, lambda step: simclr_loss(net, step))
    torch.manual_seed(1)
    moco = Moco(moco_network())
    run = train(moco.net, Sgd(0, MOMENTUM, WEIGHT_DECAY), moco_rate, moco.loss)
    run["first_queue"] = moco.first_queue.flatten().tolist()
    run["queue"] = moco.queue.flatten().tolist()
    save(__file__, {"simclr": simclr, "moco": run})
    print(simclr["losses"], run["losses"])


if __name__ == "__main__":
    main()
