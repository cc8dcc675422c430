"""Golden outputs of DeepCluster's AlexNet and VGG-16. Writes convnet.safetensors beside this file.

Run by hand with PyTorch 2.11: python convnet.py
The networks are those of the released code (models/alexnet.py and vgg16.py, with BatchNorm and Sobel), written anew at a sixty-fourth of
their width, without their last ReLU and with dropout left out; in float64.
"""
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn

torch.set_default_dtype(torch.float64)


def features(layers, channels):
    out = []
    for layer in layers:
        if layer[0] == "pool":
            out.append(nn.MaxPool2d(layer[1], layer[2]))
            continue
        width, kernel, stride, padding = layer
        out += [nn.Conv2d(channels, width, kernel, stride, padding), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*out)


class Network(nn.Module):
    def __init__(self, layers, classifier):
        super().__init__()
        grey = nn.Conv2d(3, 1, 1)
        grey.weight.data.fill_(1 / 3)
        grey.bias.data.zero_()
        edges = nn.Conv2d(1, 2, 3, padding=1)
        edges.weight.data[0, 0] = torch.tensor([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
        edges.weight.data[1, 0] = torch.tensor([[1, 2, 1], [0, 0, 0], [-1, -2, -1]])
        edges.bias.data.zero_()
        self.features = features(layers, 2)
        self.classifier = classifier
        self.sobel = nn.Sequential(grey, edges)

    def forward(self, x):
        return self.classifier(self.features(self.sobel(x)).flatten(1))


def alexnet():
    layers = [(1, 11, 4, 2), ("pool", 3, 2), (4, 5, 1, 2), ("pool", 3, 2), (6, 3, 1, 1), (6, 3, 1, 1), (4, 3, 1, 1), ("pool", 3, 2)]
    return Network(layers, nn.Sequential(nn.Identity(), nn.Linear(4 * 6 * 6, 64), nn.ReLU(), nn.Identity(), nn.Linear(64, 64)))


def vgg16():
    layers = []
    for width, depth in ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)):
        layers += [(width, 3, 1, 1)] * depth + [("pool", 2, 2)]
    return Network(layers, nn.Sequential(nn.Linear(8 * 7 * 7, 64), nn.ReLU(), nn.Identity(), nn.Linear(64, 64)))


def main():
    torch.manual_seed(0)
    i = torch.arange(2 * 3 * 224 * 224, dtype=torch.float64)
    images = torch.sin(0.013 * i + 1e-7 * i * i).view(2, 3, 224, 224)
    tensors = {}
    for name, network in (("alexnet", alexnet()), ("vgg16", vgg16())):
        for n, p in network.named_parameters():  # not so small that all features are the same
            if n.startswith("classifier") and n.endswith("weight"):
                p.data.normal_(0, 0.1)
        network.float().double()  # what the file can hold
        for n, t in network.state_dict().items():
            tensors[f"{name}.{n}"] = t.float() if t.is_floating_point() else t.clone()
        network.train()
        tensors[f"expected.{name}.train"] = network(images).detach().clone()
        tensors[f"expected.{name}.running_mean"] = network.features[1].running_mean.clone()
        network.load_state_dict({n: tensors[f"{name}.{n}"].double() if tensors[f"{name}.{n}"].is_floating_point() else tensors[f"{name}.{n}"]
                                 for n in network.state_dict()})
        network.eval()
        tensors[f"expected.{name}.eval"] = network(images).detach().clone()
        tensors[f"expected.{name}.sobel"] = network.sobel(images)[:, :, 100:104, 100:104].detach().clone()
    save_file(tensors, pathlib.Path(__file__).with_name("convnet.safetensors"))


if __name__ == "__main__":
    main()
