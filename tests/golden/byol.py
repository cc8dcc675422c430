"""Golden run of BYOL in float64. Writes byol.json beside this file.

Run by hand with PyTorch 2.11: python byol.py
The arithmetic is that of DeepMind's released code on one device, written anew around a tiny network: a forward pass a view, a target that
normalises by its own batches and moves after each update, heads with one bias, LARS that leaves biases and norms alone, linear
warm-up whose end is not reached within it, cosines for the rate and for the target's momentum. It runs over the schedule's end.
"""
import math

import torch
from torch import nn

from tiny_method import FEATURES, Backbone, chirp, flat, gradients, save, state

torch.set_default_dtype(torch.float64)

SIZE, BATCH, STEPS, TOTAL, WARMUP = 12, 6, 14, 12, 3
HIDDEN, DIM = 8, 5
PEAK, WEIGHT_DECAY, MOMENTUM, ETA = 0.8, 0.01, 0.9, 0.05
BASE_MOMENTUM = 0.9
KEEP = [0, 2, 5, 11, 13]  # steps whose gradients are written


def view(step, number):
    return chirp((BATCH, 3, SIZE, SIZE), 1.7 * number, 0.6 * step)


def mlp(inputs):
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, DIM, bias=False))


def decay(step, total):
    return 0.5 * (1 + math.cos(math.pi * min(step, total) / total))


def rate(step):
    return PEAK * step / WARMUP if step < WARMUP else PEAK * decay(step - WARMUP, TOTAL - WARMUP)


def unit(x):
    return x * torch.rsqrt(torch.clamp((x * x).sum(1, keepdim=True), min=1e-12))


def main():
    torch.manual_seed(0)
    online = nn.ModuleDict({"backbone": Backbone(), "projector": mlp(FEATURES), "predictor": mlp(DIM)})
    target = nn.ModuleDict({"target_backbone": Backbone(), "target_projector": mlp(FEATURES)})
    pairs = []
    for part in ("backbone", "projector"):
        target["target_" + part].load_state_dict(online[part].state_dict())
        pairs += zip(target["target_" + part].parameters(), online[part].parameters())
    out = {"start": flat(online.named_parameters()), "losses": [], "rates": [], "gradients": {}}
    buffers = {n: torch.zeros_like(p) for n, p in online.named_parameters()}
    for step in range(STEPS):
        predictions, targets = [], []
        for number in range(2):
            x = view(step, number)
            predictions.append(online["predictor"](online["projector"](online["backbone"](x))))
            with torch.no_grad():
                targets.append(target["target_projector"](target["target_backbone"](x)))
        loss = ((unit(predictions[0]) - unit(targets[1])) ** 2).sum(1).mean() + ((unit(predictions[1]) - unit(targets[0])) ** 2).sum(1).mean()
        online.zero_grad()
        loss.backward()
        out["losses"].append(loss.item())
        out["rates"].append(rate(step))
        if step in KEEP:
            out["gradients"][str(step)] = gradients(online.named_parameters())
        with torch.no_grad():
            for n, p in online.named_parameters():
                g = p.grad
                if p.dim() > 1:
                    g = g + WEIGHT_DECAY * p
                    w, d = p.norm(), g.norm()
                    g = g * (ETA * w / d if w > 0 and d > 0 else 1)
                buffers[n] = MOMENTUM * buffers[n] + g
                p -= rate(step) * buffers[n]
            tau = 1 - (1 - BASE_MOMENTUM) * decay(step, TOTAL)
            for t, p in pairs:
                t.copy_(tau * t + (1 - tau) * p)
    tensors = {**online.state_dict(), **target.state_dict()}
    out["end"] = state(tensors.items())
    assert all(math.isfinite(x) for x in out["losses"])
    save(__file__, out)
    print(out["losses"])


if __name__ == "__main__":
    main()
