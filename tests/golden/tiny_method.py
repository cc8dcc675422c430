"""What the golden scripts of methods share: the tiny network, the optimiser of most of them, and how their numbers are written. The C++ side is
tests/ssl/tiny_method.h.
"""
import json
import math
import pathlib

import torch
import torch.nn.functional as F
from torch import nn

FEATURES = 6


def chirp(shape, *phases):
    """So that inputs need no file."""
    i = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(sum(phases, 0.9 * i + 0.001 * i * i)).view(shape)


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, FEATURES, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(FEATURES)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x))).mean((2, 3))


def forward_by_size(backbone, crops):
    """Consecutive crops of one size in one pass, as the released SwAV has it."""
    features, start = [], 0
    while start < len(crops):
        stop = start
        while stop < len(crops) and crops[stop].shape[-1] == crops[start].shape[-1]:
            stop += 1
        features.append(backbone(torch.cat(crops[start:stop])))
        start = stop
    return torch.cat(features)


class Sgd:
    def __init__(self, lr, momentum, weight_decay):
        self.lr, self.momentum, self.weight_decay, self.buffers = lr, momentum, weight_decay, {}

    @torch.no_grad()
    def step(self, parameters):
        """Of (name, parameter) pairs."""
        for n, p in parameters:
            g = p.grad + self.weight_decay * p
            self.buffers[n] = self.momentum * self.buffers[n] + g if n in self.buffers else g.clone()
            p -= self.lr * self.buffers[n]


def single(x):
    return x.to(torch.float32).to(torch.float64)


def flat(tensors):
    return {n: t.detach().flatten().tolist() for n, t in tensors}


def gradients(parameters):
    return flat((n, p.grad) for n, p in parameters)


def state(tensors):
    """Of a state_dict()'s items."""
    return flat((n, t) for n, t in tensors if "num_batches" not in n)


def save(script, out):
    """Beside the script, as NAME.json."""
    pathlib.Path(script).with_suffix(".json").write_text(json.dumps(out) + "\n")
