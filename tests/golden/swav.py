"""Golden run of SwAV in float64. Writes swav.json beside this file.

Run by hand with PyTorch 2.11: python swav.py
The arithmetic is that of the released main_swav.py on one GPU, written anew around a tiny network: one forward pass a resolution, one head
pass, prototypes normalised before and frozen at first, a queue for each assigned crop, multiplicative Sinkhorn, SGD. Sinkhorn alone is
kept for several settings too.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

from tiny_method import FEATURES, Backbone, Sgd, chirp, flat, forward_by_size, gradients, save

torch.set_default_dtype(torch.float64)

SIZES = [12, 12, 8, 8]  # two global and two local crops
ASSIGN, BATCH, STEPS, STEPS_PER_EPOCH = 2, 6, 11, 3
K, DIM, HIDDEN = 7, 5, 8
TEMPERATURE, EPSILON, ITERATIONS = 0.1, 0.05, 3
FREEZE, QUEUE, QUEUE_EPOCH = 4, 16, 1
LR, MOMENTUM, WEIGHT_DECAY = 0.2, 0.9, 0.01
KEEP = [0, 3, 4, 6, 10]  # steps whose gradients are written


def crop(step, view):
    return chirp((BATCH, 3, SIZES[view], SIZES[view]), 1.7 * view, 0.6 * step)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.projection_head = nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, DIM))
        self.prototypes = nn.Linear(DIM, K, bias=False)

    def forward(self, crops):
        z = F.normalize(self.projection_head(forward_by_size(self.backbone, crops)), dim=1)
        return z, self.prototypes(z)


@torch.no_grad()
def sinkhorn(scores, epsilon, iterations):
    q = torch.exp(scores / epsilon).t()
    k, b = q.shape
    q = q / q.sum()
    for _ in range(iterations):
        q = q / q.sum(1, keepdim=True) / k
        q = q / q.sum(0, keepdim=True) / b
    return (q * b).t()


def main():
    torch.manual_seed(0)
    net = Network()
    net.train()
    out = {"start": flat(net.named_parameters()), "losses": [], "gradients": {}, "queue_used": []}
    sgd = Sgd(LR, MOMENTUM, WEIGHT_DECAY)
    length = QUEUE - QUEUE % BATCH
    queue = torch.zeros(ASSIGN, length, DIM)
    for step in range(STEPS):
        with torch.no_grad():
            net.prototypes.weight.copy_(F.normalize(net.prototypes.weight, dim=1))
        z, scores = net([crop(step, v) for v in range(len(SIZES))])
        loss, used = 0, False
        for i in range(ASSIGN):
            rows = slice(i * BATCH, (i + 1) * BATCH)
            s = scores[rows].detach()
            if step // STEPS_PER_EPOCH >= QUEUE_EPOCH:
                if not bool((queue[i, -1] == 0).all()):
                    used = True
                    s = torch.cat([queue[i] @ net.prototypes.weight.detach().t(), s])
                queue[i] = torch.cat([z[rows].detach(), queue[i, :-BATCH]])
            q = sinkhorn(s, EPSILON, ITERATIONS)[-BATCH:]
            part = 0
            for v in range(len(SIZES)):
                if v == i:
                    continue
                x = scores[v * BATCH:(v + 1) * BATCH] / TEMPERATURE
                part = part - (q * F.log_softmax(x, dim=1)).sum(1).mean()
            loss = loss + part / (len(SIZES) - 1)
        loss = loss / ASSIGN
        net.zero_grad()
        loss.backward()
        out["losses"].append(loss.item())
        out["queue_used"].append(used)
        if step in KEEP:
            out["gradients"][str(step)] = gradients(net.named_parameters())
        sgd.step((n, p) for n, p in net.named_parameters() if step >= FREEZE or "prototypes" not in n)
    out["end"] = flat(net.named_parameters())
    out["queue"] = queue.flatten().tolist()

    out["sinkhorn"] = []
    for epsilon, iterations, rows, columns in [(0.05, 3, 9, 5), (0.03, 1, 4, 6), (0.5, 10, 8, 3)]:
        i = torch.arange(rows * columns, dtype=torch.float64)
        scores = torch.cos(1.3 * i + 0.01 * i * i).view(rows, columns)
        out["sinkhorn"].append({"epsilon": epsilon, "iterations": iterations, "rows": rows, "columns": columns,
                                "q": sinkhorn(scores, epsilon, iterations).flatten().tolist()})
    assert all(math.isfinite(x) for x in out["losses"])
    save(__file__, out)
    print(out["losses"], out["queue_used"])


if __name__ == "__main__":
    main()
