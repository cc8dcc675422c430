#include <unlabel/data/collate.h>

#include <ATen/Context.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/types.h>

#include <deque>
#include <exception>

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

Allocate pinned_memory(at::Device device) {
  if (device.is_cpu()) return {};
  auto* const allocator = at::globalContext().getPinnedMemoryAllocator(device.type());
  return [allocator](std::size_t bytes) -> std::shared_ptr<void> {
    auto memory = std::make_shared<c10::DataPtr>(allocator->allocate(bytes));
    return {memory, memory->get()};
  };
}

at::Tensor to_device(const at::Tensor& host, at::Device device) {
  if (device.is_cpu()) return host;
  return host.pin_memory().to(device, /*non_blocking=*/true);
}

struct BatchCopier::Impl {
  /// The memory that a copy reads, and the event after which it is free.
  struct InFlight {
    std::vector<std::shared_ptr<void>> memory;
    c10::Event copied;
    c10::Event used;  ///< recorded at the next call, after which no queued work reads this batch
  };

  at::Device device;
  std::optional<c10::Stream> copying;
  std::deque<InFlight> in_flight;
};

BatchCopier::BatchCopier(at::Device device) : impl_(std::make_unique<Impl>(Impl{device, std::nullopt, {}})) {
  if (!device.is_cpu())
    impl_->copying =
        c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, /*isHighPriority=*/false);
}

BatchCopier::~BatchCopier() {
  for (const auto& batch : impl_->in_flight) {
    try {
      batch.copied.synchronize();
    } catch (const std::exception&) {  // of a device that has failed, which reads no more
    }
  }
}

Batch BatchCopier::operator()(const HostBatch& batch) {
  auto result = collate(batch);
  const auto device = impl_->device;
  if (device.is_cpu()) return result;
  const c10::impl::VirtualGuardImpl guard(device.type());
  const auto computing = guard.getStream(device);

  constexpr std::size_t kAhead = 2;
  auto& in_flight = impl_->in_flight;
  if (!in_flight.empty()) in_flight.back().used.record(computing);
  for (; in_flight.size() >= kAhead; in_flight.pop_front()) in_flight.front().used.synchronize();

  in_flight.push_back({{}, c10::Event(device.type()), c10::Event(device.type())});
  for (const auto& array : batch.arrays) in_flight.back().memory.push_back(array.memory);
  auto& copied = in_flight.back().copied;
  {
    // What is allocated here is the copying stream's, which so need not wait for what was freed on the other one.
    const c10::StreamGuard on(*impl_->copying);
    for (auto& [name, tensor] : result.tensors) tensor = tensor.to(device, /*non_blocking=*/true);
    result.indices = to_device(result.indices, device);
    copied.record(*impl_->copying);
  }
  copied.block(computing);
  for (const auto& [name, tensor] : result.tensors) guard.recordDataPtrOnStream(tensor.storage().data_ptr(), computing);
  guard.recordDataPtrOnStream(result.indices.storage().data_ptr(), computing);
  return result;
}

}  // namespace unlabel::data
