"""For comparison: SwAV or BYOL by the library lightly, as in its documentation, on a folder of classes; a narrow ResNet-18 on one core.

usage: lightly_learn.py {swav,byol} FOLDER --epochs N --lr RATE --out FILE [--seed 0] [--batch 128] [--width 16] [--size 32] [--bf16]
                        [--area 0.4] [--jitter 0.5] [--mean R,G,B] [--std R,G,B]
                        [--hidden 128] [--prototypes 512] [--frozen STEPS] [--momentum 0.99]
Both views are drawn alike: a crop of at least the share --area of the image, flip, color jitter of strength --jitter with probability 0.8,
grayscale with probability 0.2. SGD with momentum 0.9 and weight decay 5e-4; the learning rate falls to 0 by a cosine schedule. The encoder is
written to FILE under torchvision's names (safetensors). FILE.epoch is written after each epoch, and the same command resumes from it.
Exit codes: 75 after SIGTERM, 93 for a loss that is not finite. Needs torch, torchvision, lightly and safetensors.
"""
import argparse
import copy
import math
import os
import signal
import sys

import lightly
import safetensors.torch
import torch
import torchvision
from lightly.loss import NegativeCosineSimilarity, SwaVLoss
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead, SwaVProjectionHead, SwaVPrototypes
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import nn
from torchvision import transforms as T

from small_resnet import resnet18


def numbers(text):
    return tuple(float(part) for part in text.split(","))


parser = argparse.ArgumentParser()
parser.add_argument("method", choices=["swav", "byol"])
parser.add_argument("folder")
parser.add_argument("--epochs", type=int, required=True)
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--out", required=True)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--width", type=int, default=16)
parser.add_argument("--size", type=int, default=32)
parser.add_argument("--bf16", action="store_true")
parser.add_argument("--area", type=float, default=0.4)
parser.add_argument("--jitter", type=float, default=0.5)
parser.add_argument("--mean", type=numbers, default=(0.485, 0.456, 0.406))
parser.add_argument("--std", type=numbers, default=(0.229, 0.224, 0.225))
parser.add_argument("--hidden", type=int, default=128, help="of projector and predictor")
parser.add_argument("--prototypes", type=int, default=512)
parser.add_argument("--frozen", type=int, default=0, help="steps before the prototypes learn")
parser.add_argument("--momentum", type=float, default=0.99, help="of BYOL's target")
options = parser.parse_args()

signal.signal(signal.SIGTERM, lambda *_: os._exit(75))
torch.set_num_threads(1)
torch.manual_seed(options.seed)
backbone = resnet18(options.width).to(memory_format=torch.channels_last)
dim = 8 * options.width


class Swav(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.head = backbone, SwaVProjectionHead(dim, options.hidden, 128)
        self.prototypes = SwaVPrototypes(128, options.prototypes, options.frozen)
        self.loss = SwaVLoss()

    def forward(self, views, step):
        self.prototypes.normalize()
        with autocast():
            projected = [self.head(self.backbone(view)) for view in views]
        return self.loss([self.prototypes(nn.functional.normalize(z.float(), dim=1), step) for z in projected], [])


class Byol(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.head = backbone, BYOLProjectionHead(dim, options.hidden, 256)
        self.predictor = BYOLPredictionHead(256, options.hidden, 256)
        self.target_backbone, self.target_head = copy.deepcopy(self.backbone), copy.deepcopy(self.head)
        deactivate_requires_grad(self.target_backbone)
        deactivate_requires_grad(self.target_head)
        self.loss = NegativeCosineSimilarity()

    def forward(self, views, step):
        update_momentum(self.backbone, self.target_backbone, options.momentum)
        update_momentum(self.head, self.target_head, options.momentum)
        with autocast():
            p0, p1 = (self.predictor(self.head(self.backbone(view))).float() for view in views)
            with torch.no_grad():
                z0, z1 = (self.target_head(self.target_backbone(view)).float() for view in views)
        return 0.5 * (self.loss(p0, z1) + self.loss(p1, z0))


def autocast():
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bf16)


def write(path, save):
    save(f"{path}.tmp")
    os.replace(f"{path}.tmp", path)


strength = 0.8 * options.jitter
view = T.Compose([
    T.RandomResizedCrop(options.size, scale=(options.area, 1)), T.RandomHorizontalFlip(),
    T.RandomApply([T.ColorJitter(strength, strength, strength, strength / 4)], 0.8), T.RandomGrayscale(0.2), T.ToTensor(),
    T.Normalize(options.mean, options.std)])
images = torchvision.datasets.ImageFolder(options.folder, lambda image: [view(image), view(image)])
loader = torch.utils.data.DataLoader(images, options.batch, shuffle=True, drop_last=True)
model = Swav() if options.method == "swav" else Byol()
sgd = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=options.lr, momentum=0.9, weight_decay=5e-4)
first, steps = 0, options.epochs * len(loader)
if os.path.exists(f"{options.out}.epoch"):
    state = torch.load(f"{options.out}.epoch")
    model.load_state_dict(state["model"])
    sgd.load_state_dict(state["sgd"])
    first = state["epoch"]
print(f"lightly {lightly.__version__}, torch {torch.__version__}: {options.method}, {steps} steps, from epoch {first}", flush=True)

for epoch in range(first, options.epochs):
    torch.manual_seed(10000 * (options.seed + 1) + epoch)  # order and views
    total = 0.0
    for step, (views, _) in enumerate(loader, epoch * len(loader)):
        for group in sgd.param_groups:
            group["lr"] = options.lr * 0.5 * (1 + math.cos(math.pi * step / steps))
        loss = model([x.contiguous(memory_format=torch.channels_last) for x in views], step)
        if not loss.isfinite():
            print(f"the loss is not finite at step {step}", file=sys.stderr)
            sys.exit(93)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        total += loss.item()
    print(f"epoch {epoch + 1} of {options.epochs}: loss {total / len(loader):.4f}", flush=True)
    write(f"{options.out}.epoch", lambda path: torch.save(
        {"model": model.state_dict(), "sgd": sgd.state_dict(), "epoch": epoch + 1}, path))
weights = {name: tensor.contiguous() for name, tensor in backbone.state_dict().items()}
write(options.out, lambda path: safetensors.torch.save_file(weights, path))
