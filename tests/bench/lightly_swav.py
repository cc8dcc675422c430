"""For comparison: SwAV by the library lightly, as in its documentation, on a folder of classes; a narrow ResNet-18 on a CPU.

usage: lightly_swav.py FOLDER --steps N [--batch 256] [--width 16] [--size 32] [--workers 2] [--bf16] [--channels-last]
Prints images per second of wall time, without the first tenth of the steps. Needs torch, torchvision and lightly.
"""
import argparse
import time

import torch
import torchvision
from lightly.loss import SwaVLoss
from lightly.models.modules import SwaVProjectionHead, SwaVPrototypes
from torch import nn
from torchvision import transforms as T

from small_resnet import resnet18

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--steps", type=int, required=True)
parser.add_argument("--batch", type=int, default=256)
parser.add_argument("--width", type=int, default=16)
parser.add_argument("--size", type=int, default=32)
parser.add_argument("--prototypes", type=int, default=512)
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--bf16", action="store_true")
parser.add_argument("--channels-last", action="store_true")
options = parser.parse_args()

view = T.Compose([
    T.RandomResizedCrop(options.size, scale=(0.2, 1)), T.RandomHorizontalFlip(),
    T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8), T.RandomGrayscale(0.2), T.ToTensor(),
    T.Normalize((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261))])
images = torchvision.datasets.ImageFolder(options.folder, lambda image: [view(image), view(image)])
loader = torch.utils.data.DataLoader(images, options.batch, shuffle=True, drop_last=True, num_workers=options.workers,
                                     persistent_workers=options.workers > 0)
dim = 8 * options.width
backbone, head, prototypes = resnet18(options.width), SwaVProjectionHead(dim, dim, 128), SwaVPrototypes(128, options.prototypes)
layout = torch.channels_last if options.channels_last else torch.contiguous_format
backbone = backbone.to(memory_format=layout)
loss_of = SwaVLoss()
sgd = torch.optim.SGD([*backbone.parameters(), *head.parameters(), *prototypes.parameters()], lr=0.06, momentum=0.9, weight_decay=5e-4)
step, warm_up = 0, options.steps // 10
while step < options.steps:
    for views, _ in loader:
        if step == warm_up:
            begin = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bf16):
            prototypes.normalize()
            scores = [prototypes(nn.functional.normalize(head(backbone(x.contiguous(memory_format=layout))), dim=1)) for x in views]
            loss = loss_of([score.float() for score in scores], [])
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        step += 1
        if step == options.steps:
            break
print(f"{(options.steps - warm_up) * options.batch / (time.perf_counter() - begin):.1f}")
