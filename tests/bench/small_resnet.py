"""The peers' encoder, the same as --encoder.arch resnet18 --encoder.stem small: torchvision's ResNet-18 at any width, for small images."""
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet


def resnet18(width):
    net = ResNet(BasicBlock, [2, 2, 2, 2])
    net.inplanes = width
    net.conv1, net.bn1, net.maxpool = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.Identity()
    for i, stride in enumerate((1, 2, 2, 2)):
        setattr(net, f"layer{i + 1}", net._make_layer(BasicBlock, width << i, 2, stride=stride))
    net.fc = nn.Identity()
    for module in net.modules():  # as torchvision begins, which new layers do not
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return net
