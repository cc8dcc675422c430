#!/usr/bin/env python3
"""Makes small checkpoints of one ResNet-18 as other frameworks save them, and converts each by the code of a message of ours.

usage: foreign_checkpoints.py ADVICE.py DIR: writes DIR/NAME.safetensors, with the tensors under the names that the framework gave them.
Python's safetensors need not be there: a module of that name with its save_file stands in for it.
"""
import argparse
import collections
import json
import os
import struct
import sys
import types

import torch


def save_file(tensors, path):
    types_of = {torch.float32: "F32", torch.int64: "I64"}
    header, data = {}, b""
    for name, tensor in tensors.items():
        assert tensor.is_contiguous(), name
        values = tensor.flatten().tolist()
        part = struct.pack("<%d%s" % (len(values), "f" if tensor.dtype == torch.float32 else "q"), *values)
        header[name] = {"dtype": types_of[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def resnet18(width=2):
    def norm(name, channels):
        return {name + ".weight": torch.randn(channels), name + ".bias": torch.randn(channels), name + ".running_mean": torch.randn(channels),
                name + ".running_var": torch.rand(channels), name + ".num_batches_tracked": torch.tensor(7)}

    state = {"conv1.weight": torch.randn(width, 3, 7, 7), **norm("bn1", width)}
    inputs = width
    for stage in range(4):
        outputs = width << stage
        for block in range(2):
            name = f"layer{stage + 1}.{block}."
            state[name + "conv1.weight"] = torch.randn(outputs, inputs, 3, 3)
            state |= norm(name + "bn1", outputs)
            state[name + "conv2.weight"] = torch.randn(outputs, outputs, 3, 3)
            state |= norm(name + "bn2", outputs)
            if inputs != outputs:
                state[name + "downsample.0.weight"] = torch.randn(outputs, inputs, 1, 1)
                state |= norm(name + "downsample.1", outputs)
            inputs = outputs
    return state


def below(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def sequential(state):
    """As torch.nn.Sequential of a ResNet's children."""
    places = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    return {".".join([places[name.split(".")[0]], *name.split(".")[1:]]): tensor for name, tensor in state.items()}


def checkpoints():
    state, other = resnet18(), resnet18()
    more = {"projection_head.0.weight": torch.randn(2, 2)}
    optimizer = {"state": {0: {"momentum_buffer": torch.randn(2)}}, "param_groups": [{"lr": 0.1}]}
    yield "plain.pth", collections.OrderedDict(state | {"fc.weight": torch.randn(3, 16), "fc.bias": torch.randn(3)})
    yield "swav.pth.tar", {"epoch": 1, "state_dict": below("module.", state | more), "optimizer": optimizer}
    yield "moco.pth.tar", {"epoch": 1, "arch": "resnet18", "optimizer": optimizer, "state_dict":
                           below("module.encoder_k.", other) | below("module.encoder_q.", state) | {"module.queue": torch.randn(2, 4)}}
    yield "moco_v3.pth.tar", {"state_dict": below("module.base_encoder.", state) | below("module.momentum_encoder.", other)}
    yield "dino.pth", {"student": below("module.backbone.", other), "teacher": below("backbone.", state), "epoch": 1, "optimizer": optimizer,
                       "args": argparse.Namespace(lr=0.1), "dino_loss": {"center": torch.zeros(1, 2)}}
    yield "lightly.ckpt", {"epoch": 1, "state_dict": below("backbone.", sequential(state)) | more, "hyper_parameters": {"lr": 0.1}}
    yield "solo_learn.ckpt", {"state_dict": below("momentum_backbone.", other) | below("backbone.", state) | more}
    yield "mmselfsup.pth", {"meta": {"epoch": 1}, "state_dict": below("backbone.", state) | {"neck.0.weight": torch.randn(2)}}
    yield "vissl.torch", {"phase": 1, "classy_state_dict": {"base_model": {"model": {"trunk": below("_feature_blocks.", state),
                                                                                    "heads": {"0.clf.weight": torch.randn(2)}}}}}
    yield "simclr.pth.tar", {"epoch": 1, "arch": "resnet18", "state_dict": below("backbone.", state) | {"backbone.fc.0.weight": torch.randn(2)}}
    yield "byol.pt", {"model": below("target_encoder.", other) | below("online_encoder.", state)}
    yield "barlow_twins.pth", {"epoch": 1, "model": below("module.backbone.", state), "optimizer": optimizer}


def main():
    advice, folder = open(sys.argv[1]).read(), sys.argv[2]
    sys.modules["safetensors"] = types.ModuleType("safetensors")
    sys.modules["safetensors.torch"] = types.ModuleType("safetensors.torch")
    sys.modules["safetensors.torch"].save_file = save_file
    os.chdir(folder)
    for name, content in checkpoints():
        torch.save(content, name)
        sys.argv = ["-c", name]
        exec(advice, {"__name__": "__main__"})
        os.rename("weights.safetensors", name + ".safetensors")


main()
