"""Golden values for tests/ssl/models/heads_test.cpp: SwAV's projection head as a torch.nn.Sequential, in float64.

    python tests/golden/heads.py
"""
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
head = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(inplace=True), nn.Linear(5, 3))
with torch.no_grad():
    head[1].weight.uniform_(0.5, 1.5)
    head[1].bias.uniform_(-0.3, 0.3)
tensors = {f"projection_head.{key}": value.clone() for key, value in head.state_dict().items()}
features = torch.randn(7, 6)
tensors["features"] = features
tensors["train"] = head(features)
head.eval()
tensors["eval"] = head(features)
save_file({key: value.detach().contiguous() for key, value in tensors.items()},
          pathlib.Path(__file__).parent / "heads.safetensors")
