#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace unlabel::data {
class AtomicFile;
}

namespace unlabel::eval {

/// Writes a tensor as NumPy's .npy, format 1.0, for `numpy.load`: float32 as '<f4', float64 as '<f8',
/// int64 as '<i8', in C order. Any device and strides. Atomic: to a temporary file in the same folder, flushed to the
/// disk, then renamed over `path`. Throws UsageError for another type, and Error that names the file when it cannot be
/// written; no temporary file is left.
void write_npy(const std::string& path, const at::Tensor& tensor);

/// The same into an open file.
void write_npy(data::AtomicFile& file, const at::Tensor& tensor);

}  // namespace unlabel::eval
