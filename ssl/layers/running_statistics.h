#pragma once

#include <unlabel/ssl/group.h>

#include <torch/nn/module.h>

namespace unlabel::ssl {

/// Makes running statistics equal on all ranks of `world` after a training step: each becomes the mean of the ranks'. Of the BatchNorms in
/// `root` whose group is smaller; all ranks must call it. Running statistics are linear in those of the batches, so that this is the update
/// by the mean of all groups' batch statistics. One all_reduce_sum; nothing where every group is the world.
void average_running_statistics(torch::nn::Module& root, const Group& world);

}  // namespace unlabel::ssl
