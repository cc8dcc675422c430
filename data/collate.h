#pragma once

#include <unlabel/data/loader.h>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace unlabel::data {

/// Tensors of n samples by name, as a SampleTransform makes them: views of images, token ids and their mask. All on one device.
struct Batch {
  std::vector<std::pair<std::string, at::Tensor>> tensors;  ///< each n x its row's shape
  at::Tensor indices;                                       ///< n, int64: positions in the data set

  /// The tensor of that name. Throws Error, with the names that there are, when there is none.
  const at::Tensor& operator[](std::string_view name) const;

  /// The views of images, n x C x H x W each, global crops first: "view.0", "view.1", ...; empty for other data.
  std::vector<at::Tensor> views() const;
};

/// A batch as tensors on the CPU. Their memory is shared with `batch`, not copied, and lives as long as any of them; indices are copied.
Batch collate(const HostBatch& batch);

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
