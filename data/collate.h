#pragma once

#include <unlabel/data/loader.h>

#include <vector>

namespace at {
class Tensor;
}

namespace unlabel::data {

/// The views of a batch as tensors: samples x channels x height x width, float32, on the CPU. The memory is shared with
/// the batch, not copied, and lives as long as any of the tensors.
std::vector<at::Tensor> collate_views(const HostBatch& batch);

/// Labels, or indices, as an int64 tensor of its own memory.
at::Tensor collate_labels(const HostBatch& batch);
at::Tensor collate_indices(const HostBatch& batch);

}  // namespace unlabel::data
