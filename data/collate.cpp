#include <unlabel/data/collate.h>

#include <torch/types.h>

namespace unlabel::data {

std::vector<at::Tensor> collate_views(const HostBatch& batch) {
  std::vector<at::Tensor> tensors;
  const auto samples = static_cast<std::int64_t>(batch.indices.size());
  for (std::size_t v = 0; v < batch.views.size(); ++v) {
    const auto& shape = batch.shapes[v];
    tensors.push_back(torch::from_blob(
        batch.views[v].get(), {samples, shape.channels, shape.height, shape.width},
        [memory = batch.views[v]](void*) mutable { memory.reset(); }, torch::kFloat32));
  }
  return tensors;
}

at::Tensor collate_labels(const HostBatch& batch) { return torch::tensor(batch.labels, torch::kInt64); }
at::Tensor collate_indices(const HostBatch& batch) { return torch::tensor(batch.indices, torch::kInt64); }

}  // namespace unlabel::data
