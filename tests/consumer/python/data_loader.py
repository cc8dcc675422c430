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
    print("DataLoader: the same views from 0, 1 and 2 workers, forked and spawned")
