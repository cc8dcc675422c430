"""Golden values for tests/ssl/models/resnet_test.cpp and weights_test.cpp, from torchvision's own ResNet class.

    python tests/golden/resnet.py        (torch 2.11, torchvision 0.26, safetensors)

For each network NAME: NAME.safetensors, its weights as a stock torchvision file would hold them (float32, with `fc`, no metadata), and
NAME_expected.safetensors, what it does in float64: input, features in evaluation mode (`eval`), in training mode (`train`), gradients of
sum(features * direction) after a training pass, and running statistics after it (`after.*`).
Also resnetN_keys.txt: names and shapes of torchvision's state_dict at full width, without `fc`.
"""
import pathlib

import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

HERE = pathlib.Path(__file__).parent


def narrow(block, blocks, width, in_channels, small_stem):
    model = ResNet(block, blocks, num_classes=5)
    model.inplanes = width
    model.conv1 = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False) if small_stem else nn.Conv2d(
        in_channels, width, 7, 2, 3, bias=False)
    model.bn1 = nn.BatchNorm2d(width)
    if small_stem:
        model.maxpool = nn.Identity()
    for stage in range(4):
        setattr(model, f"layer{stage + 1}",
                model._make_layer(block, width << stage, blocks[stage], stride=1 if stage == 0 else 2))
    model.fc = nn.Linear(8 * width * block.expansion, 5)
    return model


def golden(name, model, images):
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.3)
                module.running_mean.uniform_(-0.3, 0.3)
                module.running_var.uniform_(0.5, 1.5)
                module.num_batches_tracked.fill_(7)
    save_file(model.state_dict(), HERE / f"{name}.safetensors")

    model = model.double()
    model.fc = nn.Identity()
    expected = {"input": images}
    model.eval()
    with torch.no_grad():
        expected["eval"] = model(images.double())
    model.train()
    features = model(images.double())
    expected["train"] = features
    expected["direction"] = torch.rand_like(features) - 0.5
    (features * expected["direction"]).sum().backward()
    for key in ("conv1.weight", "bn1.weight", "layer2.0.downsample.0.weight", "layer4.1.bn2.bias"):
        expected[f"gradient.{key}"] = dict(model.named_parameters())[key].grad
    for key in ("bn1", "layer2.0.downsample.1", "layer4.1.bn2"):
        for statistic in ("running_mean", "running_var", "num_batches_tracked"):
            expected[f"after.{key}.{statistic}"] = model.state_dict()[f"{key}.{statistic}"]
    save_file({key: value.detach().contiguous() for key, value in expected.items()}, HERE / f"{name}_expected.safetensors")


torch.manual_seed(0)
golden("resnet18_small_width3", narrow(BasicBlock, [2, 2, 2, 2], 3, 2, True), torch.randn(3, 2, 17, 20))
golden("resnet50_width2", narrow(Bottleneck, [3, 4, 6, 3], 2, 3, False), torch.randn(3, 3, 41, 36))
for depth in (18, 50):
    model = getattr(torchvision.models, f"resnet{depth}")()
    lines = [" ".join([key, *map(str, value.shape)]) for key, value in model.state_dict().items() if not key.startswith("fc.")]
    (HERE / f"resnet{depth}_keys.txt").write_text("\n".join(lines) + "\n")
for depth in (18, 34, 50, 101, 152):
    model = getattr(torchvision.models, f"resnet{depth}")()
    state = [value for key, value in model.state_dict().items() if not key.startswith("fc.")]
    print(depth, len(state), sum(value.numel() for value in state))
