#pragma once

#include <unlabel/data/loader.h>

#include <ATen/core/Tensor.h>

#include <cstdint>
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

}  // namespace unlabel::data
