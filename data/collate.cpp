#include <unlabel/data/collate.h>

#include <torch/types.h>

namespace unlabel::data {

namespace {

at::ScalarType scalar_type(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return at::kFloat;
    case ElementType::kInt64:
      return at::kLong;
    case ElementType::kUInt8:
      return at::kByte;
  }
  return at::kFloat;
}

}  // namespace

const at::Tensor& Batch::operator[](std::string_view name) const {
  std::string names;
  for (const auto& [known, tensor] : tensors) {
    if (known == name) return tensor;
    names += concat(names.empty() ? "" : ", ", known);
  }
  throw Error("a batch has no tensor '", name, "'; it has ", names);
}

std::vector<at::Tensor> Batch::views() const {
  std::vector<at::Tensor> views;
  for (const auto& [name, tensor] : tensors)
    if (name.starts_with("view.")) views.push_back(tensor);
  return views;
}

Batch collate(const HostBatch& batch) {
  Batch tensors;
  for (const auto& array : batch.arrays) {
    std::vector<std::int64_t> shape{static_cast<std::int64_t>(batch.indices.size())};
    shape.insert(shape.end(), array.spec.shape.begin(), array.spec.shape.end());
    tensors.tensors.emplace_back(
        array.spec.name, torch::from_blob(
                             array.memory.get(), shape, [memory = array.memory](void*) mutable { memory.reset(); },
                             scalar_type(array.spec.type)));
  }
  tensors.indices = torch::tensor(batch.indices, torch::kInt64);
  return tensors;
}

}  // namespace unlabel::data
