"""Golden trajectories of optimisers and learning rates. Writes optimizer.json beside this file.

Run by hand with PyTorch 2.11 and numpy: python optimizer.py
sgd and adamw come from torch.optim. larc and lars are the arithmetic of the released SwAV (apex LARC around SGD), BYOL (optax) and SimCLR codes,
written out here tensor by tensor.
"""
import json
import math
import pathlib

import numpy as np
import torch

STEPS = 12
SHAPES = {"conv.weight": (3, 2, 2, 2), "norm.weight": (4,), "norm.bias": (4,), "zero.weight": (2, 3), "late.weight": (3, 3)}


def start(dtype):
    generator = torch.Generator().manual_seed(1)
    parameters = {n: torch.randn(s, generator=generator, dtype=torch.float64) for n, s in SHAPES.items()}
    parameters["zero.weight"].zero_()
    return {n: p.to(dtype).requires_grad_() for n, p in parameters.items()}


def gradient(name, p, step):
    """A smooth function of the parameter and the step; None while `late` has no gradient; all zero now and then for norm.bias."""
    if name == "late.weight" and step < 4:
        return None
    if name == "norm.bias" and step % 3 == 0:
        return torch.zeros_like(p)
    position = torch.arange(p.numel(), dtype=p.dtype).view(p.shape)
    return (0.3 * p + torch.sin(position + step)).detach()


def rate(step):
    return 0.1 * (1 + step % 4)


def torch_optimizer(make, exclude, wd):
    def run(dtype):
        p = start(dtype)
        small = [v for v in p.values() if v.dim() <= 1]
        large = [v for v in p.values() if v.dim() > 1]
        groups = [{"params": large}, {"params": small, "weight_decay": 0}] if exclude else [{"params": list(p.values())}]
        optimizer = make(groups, wd)
        for step in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"] = rate(step)
            for name, v in p.items():
                v.grad = gradient(name, v, step)
            optimizer.step()
        return p

    return run


def adaptive(kind, wd, momentum, eta, eps, clip, exclude, lr_in_momentum=False, nesterov=False):
    def run(dtype):
        p = start(dtype)
        buffers = {}
        with torch.no_grad():
            for step in range(STEPS):
                lr = rate(step)
                for name, v in p.items():
                    g = gradient(name, v, step)
                    if g is None:
                        continue
                    left_out = exclude and v.dim() <= 1
                    if kind == "larc":
                        w_norm, g_norm = torch.norm(v), torch.norm(g)
                        if left_out:
                            pass
                        elif w_norm != 0 and g_norm != 0:
                            a = eta * w_norm / (g_norm + w_norm * wd + eps)
                            if clip:
                                a = min(a / lr, 1)
                            g = (g + wd * v) * a
                    elif not left_out:
                        g = g + wd * v
                        w_norm, g_norm = torch.norm(v), torch.norm(g)
                        if w_norm > 0 and g_norm > 0:
                            g = g * (eta * w_norm / g_norm)
                    if lr_in_momentum:  # SimCLR's classic_momentum
                        buffers[name] = momentum * buffers.get(name, 0) + lr * g
                        v -= momentum * buffers[name] + lr * g if nesterov else buffers[name]
                        continue
                    buffers[name] = momentum * buffers[name] + g if name in buffers else g.clone()
                    v -= lr * buffers[name]
        return p

    return run


SGD = torch.optim.SGD
CASES = [
    ("sgd", {"kind": "sgd", "momentum": 0.9, "weight_decay": 0.01},
     torch_optimizer(lambda g, wd: SGD(g, lr=1, momentum=0.9, weight_decay=wd), False, 0.01)),
    ("sgd_plain", {"kind": "sgd", "momentum": 0.0, "weight_decay": 0.0},
     torch_optimizer(lambda g, wd: SGD(g, lr=1, weight_decay=wd), False, 0.0)),
    ("sgd_nesterov_excluded",
     {"kind": "sgd", "momentum": 0.8, "nesterov": True, "weight_decay": 0.05, "exclude_bias_and_norm": True},
     torch_optimizer(lambda g, wd: SGD(g, lr=1, momentum=0.8, nesterov=True, weight_decay=wd), True, 0.05)),
    ("adamw", {"kind": "adamw", "beta1": 0.85, "beta2": 0.98, "eps": 1e-8, "weight_decay": 0.02},
     torch_optimizer(lambda g, wd: torch.optim.AdamW(g, betas=(0.85, 0.98), eps=1e-8, weight_decay=wd), False, 0.02)),
    ("adamw_excluded", {"kind": "adamw", "weight_decay": 0.1, "exclude_bias_and_norm": True},
     torch_optimizer(lambda g, wd: torch.optim.AdamW(g, weight_decay=wd), True, 0.1)),
    ("larc", {"kind": "larc", "momentum": 0.9, "weight_decay": 0.01, "trust_coefficient": 0.05, "eps": 1e-8},
     adaptive("larc", 0.01, 0.9, 0.05, 1e-8, False, False)),
    ("larc_clip", {"kind": "larc", "momentum": 0.9, "weight_decay": 0.01, "trust_coefficient": 0.5, "clip": True},
     adaptive("larc", 0.01, 0.9, 0.5, 1e-8, True, False)),
    ("larc_excluded",
     {"kind": "larc", "momentum": 0.9, "weight_decay": 0.01, "trust_coefficient": 0.05, "exclude_bias_and_norm": True},
     adaptive("larc", 0.01, 0.9, 0.05, 1e-8, False, True)),
    ("lars", {"kind": "lars", "momentum": 0.9, "weight_decay": 0.01, "trust_coefficient": 0.05, "exclude_bias_and_norm": True},
     adaptive("lars", 0.01, 0.9, 0.05, 0, False, True)),
    ("lars_all", {"kind": "lars", "momentum": 0.0, "weight_decay": 0.01, "trust_coefficient": 0.05},
     adaptive("lars", 0.01, 0.0, 0.05, 0, False, False)),
    ("lars_simclr",
     {"kind": "lars", "momentum": 0.9, "weight_decay": 0.01, "trust_coefficient": 0.05, "exclude_bias_and_norm": True, "lr_in_momentum": True},
     adaptive("lars", 0.01, 0.9, 0.05, 0, False, True, lr_in_momentum=True)),
    ("lars_simclr_nesterov",
     {"kind": "lars", "momentum": 0.9, "weight_decay": 0.01, "trust_coefficient": 0.05, "exclude_bias_and_norm": True, "lr_in_momentum": True,
      "nesterov": True},
     adaptive("lars", 0.01, 0.9, 0.05, 0, False, True, lr_in_momentum=True, nesterov=True)),
]


def swav_schedule(start_lr, base, final, steps, warmup, epochs):
    """The released code's: numpy's linspace, then a cosine."""
    length = steps * (epochs - warmup)
    cosine = [final + 0.5 * (base - final) * (1 + math.cos(math.pi * t / length)) for t in np.arange(length)]
    return list(np.linspace(start_lr, base, steps * warmup)) + cosine


def main():
    out = {"steps": STEPS, "start": {n: p.flatten().tolist() for n, p in start(torch.float64).items()},
           "shapes": {n: list(s) for n, s in SHAPES.items()}, "rates": [rate(s) for s in range(STEPS)], "cases": [], "schedules": []}
    for name, options, run in CASES:
        out["cases"].append({"name": name, "options": options, "end": {n: p.flatten().tolist() for n, p in run(torch.float64).items()}})
    for args in [(0.3, 4.8, 0.0048, 7, 2, 6), (0.0, 0.6, 0.0006, 5, 0, 4), (0.1, 1.0, 0.0, 1, 1, 3)]:
        out["schedules"].append({"start": args[0], "lr": args[1], "final": args[2], "steps_per_epoch": args[3], "warmup_epochs": args[4],
                                 "epochs": args[5], "values": swav_schedule(*args)})
    # Per-epoch cosine of SwAV's linear evaluation, from PyTorch's own scheduler.
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = SGD([parameter], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10, eta_min=0.01)
    values = []
    for _ in range(10):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    out["by_epoch"] = {"lr": 0.3, "final": 0.01, "epochs": 10, "values": values}
    pathlib.Path(__file__).with_name("optimizer.json").write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
