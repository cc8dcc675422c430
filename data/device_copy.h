#pragma once

#include <unlabel/data/collate.h>

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

namespace unlabel::data {

// Asynchronous copies from the host to a device. On the CPU all of this is the identity.

/// Page-locked memory, which `device` reads asynchronously, for LoaderOptions::allocate; empty for the CPU.
Allocate pinned_memory(at::Device device);

/// `host`, a tensor in plain memory, on `device`: for what the host draws or computes for a step. It may be changed or dropped at once.
at::Tensor to_device(const at::Tensor& host, at::Device device);

/// Copies batches to a device on a stream of its own, beside what is computed there: a copy that is begun while the device is at work on
/// the batch before costs no time. Arrays are copied as the loader has made them; types and layouts are converted on the device.
///
/// The current stream waits for the copy, the host does not. It waits for the device only in order not to run further ahead than two
/// batches, each of which takes memory there: until all is done that was queued before the last call but one. The batch's memory is held
/// until it has been copied. On the CPU the tensors share the batch's memory (collate).
///
/// One thread at a time may call it, always with the same current stream.
class BatchCopier {
 public:
  explicit BatchCopier(at::Device device);
  /// Waits for copies under way.
  ~BatchCopier();
  BatchCopier(const BatchCopier&) = delete;
  BatchCopier& operator=(const BatchCopier&) = delete;

  /// The arrays should be in pinned_memory of the device; the host waits for copies from other memory.
  Batch operator()(const HostBatch& batch);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace unlabel::data
