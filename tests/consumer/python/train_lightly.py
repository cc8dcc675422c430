"""Trains lightly's SwAV and BYOL some steps on views of unlabel_augment. train_lightly.py FOLDER, where FOLDER has classes of images"""
import copy
import sys

import numpy as np
import torch
import torchvision
import unlabel_augment as ua
from lightly.loss import NegativeCosineSimilarity, SwaVLoss
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead, SwaVProjectionHead, SwaVPrototypes
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import nn

root = sys.argv[1]
torch.manual_seed(0)
torch.set_num_threads(1)


def encoder():
    return nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())


def train(model, loss, batches):
    """The mean loss of the first and of the last four steps."""
    adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
    losses = []
    for views in batches:
        value = loss(views)
        adam.zero_grad()
        value.backward()
        adam.step()
        losses.append(value.item())
    assert len(losses) >= 24 and np.isfinite(losses).all(), losses
    return np.mean(losses[:4]), np.mean(losses[-4:])


class Swav(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.head, self.prototypes = encoder(), SwaVProjectionHead(64, 32, 16), SwaVPrototypes(16, 12)
        self.loss = SwaVLoss()

    def forward(self, views):
        self.prototypes.normalize()
        scores = [self.prototypes(nn.functional.normalize(self.head(self.encoder(view)), dim=1)) for view in views]
        return self.loss(scores[:2], scores[2:])


class Byol(nn.Module):
    def __init__(self):
        super().__init__()
        self.online, self.predictor = nn.Sequential(encoder(), BYOLProjectionHead(64, 32, 16)), BYOLPredictionHead(16, 32, 16)
        self.target = copy.deepcopy(self.online)
        deactivate_requires_grad(self.target)
        self.loss = NegativeCosineSimilarity()

    def forward(self, views):
        update_momentum(self.online, self.target, 0.99)
        first, second = (self.predictor(self.online(view)) for view in views)
        with torch.no_grad():
            first_target, second_target = (self.target(view) for view in views)
        return 0.5 * (self.loss(first, second_target) + self.loss(second, first_target))


# SwAV from a Loader in the place of a DataLoader: two large views and six small ones, without a copy.
loader = ua.Loader(root, ua.MultiCrop("swav", global_size=32, local_size=16), batch_size=8, threads=2)


def swav_batches(epochs):
    for _ in range(epochs):
        for batch in loader:
            views = [torch.from_numpy(view) for view in batch.views]
            assert [tuple(view.shape) for view in views] == [(8, 3, 32, 32)] * 2 + [(8, 3, 16, 16)] * 6
            assert views[0].data_ptr() == batch.views[0].ctypes.data
            yield views


# BYOL from a MultiCrop as the transform of torchvision's data set.
images = torchvision.datasets.ImageFolder(root, transform=ua.MultiCrop("simclr", global_size=32))


def byol_batches(epochs):
    for _ in range(epochs):
        for views, labels in torch.utils.data.DataLoader(images, 8, shuffle=True, drop_last=True):
            assert [tuple(view.shape) for view in views] == [(8, 3, 32, 32)] * 2 and len(labels) == 8
            yield views


for name, model, batches in (("SwAV", Swav(), swav_batches), ("BYOL", Byol(), byol_batches)):
    epochs = -(-32 // (len(images) // 8))
    first, last = train(model, model, batches(epochs))
    print(f"lightly's {name}: loss {first:.3f}, then {last:.3f}")
    assert last < first - 0.05, name
