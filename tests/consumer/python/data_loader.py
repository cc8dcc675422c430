"""Uses unlabel_augment with torch's DataLoader: views do not depend on its workers. data_loader.py FOLDER, where FOLDER has classes of images"""
import sys

import numpy as np
import torch
import unlabel_augment as ua

root = sys.argv[1]
torch.set_num_threads(1)
views = ua.MultiCrop("simclr", global_size=32)


def epochs(workers, **more):
    """The first two epochs' first views, one after the other."""
    folder = ua.Folder(root, views, seed=3)
    loader = torch.utils.data.DataLoader(folder, 3, num_workers=workers, **more)
    out = []
    for epoch in range(2):
        folder.set_epoch(epoch)
        out.append(torch.cat([batch[0] for batch, labels in loader]))
    return out


if __name__ == "__main__":  # processes that are spawned read this file again
    here = epochs(0)
    assert not torch.equal(*here), "another epoch, other views"
    for ways in ({"workers": 1}, {"workers": 2}, {"workers": 2, "persistent_workers": True},
                 {"workers": 1, "persistent_workers": True, "multiprocessing_context": "spawn"}):
        assert all(torch.equal(a, b) for a, b in zip(here, epochs(**ways))), ways

    crops = views(np.zeros((40, 40, 3), np.uint8), key=(0, 0, 0))
    assert torch.from_dlpack(crops[0]).data_ptr() == torch.from_numpy(crops[0]).data_ptr() == crops[0].ctypes.data

    # Images as torchvision gives them.
    import torchvision.io
    from torchvision import tv_tensors

    path = ua.Folder(root, views).paths[0]
    encoded, pixels = torchvision.io.read_file(path), ua.decode(path)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    assert np.array_equal(views(encoded, (1, 2, 3))[0], views(path, (1, 2, 3))[0])
    expected = views(pixels, (1, 2, 3))[0]
    for like in (tensor, tv_tensors.Image(tensor), tensor.contiguous(), torch.from_numpy(pixels)):
        assert np.array_equal(views(like, (1, 2, 3))[0], expected)
    assert ua.decode(torchvision.io.decode_image(encoded)).shape == pixels.shape
    assert ua.decode(tensor[:, :, :3]).shape == (tensor.shape[1], 3, 3), "of a tensor the first axis has the channels"
    assert np.array_equal(ua.resize(tensor, 20), ua.resize(pixels, 20))
    floats = tensor / 255
    assert np.array_equal(ua.decode(floats, {"range": (0, 1)}), pixels)
    for wrong, part in ((floats.bfloat16(), "bfloat16"), (floats.requires_grad_(), "detach()"), (tensor.unsqueeze(0), "(1, 3,")):
        for act in (lambda: views(wrong, (0, 0, 0)), lambda: ua.resize(wrong, 20)):
            try:
                act()
            except (TypeError, ValueError) as error:
                assert part in str(error) and "\n" not in str(error), error
            else:
                raise AssertionError(f"{wrong.dtype} was taken")
    out = [torch.empty(shape) for shape in views.shapes]
    views.into(pixels, (1, 2, 3), out)
    assert np.array_equal(out[0].numpy(), expected)
    print("DataLoader: the same views from 0, 1 and 2 workers, forked and spawned")
