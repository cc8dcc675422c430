#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace unlabel::data {
class AtomicFile;
}

namespace unlabel::ssl {

/// Tensors by name.
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// What a safetensors file holds.
struct TensorFile {
  NamedTensors tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads a whole safetensors file (https://huggingface.co/docs/safetensors). Tensors are on the CPU, contiguous, own
/// their memory, and come in the order of the file. Types: F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL. Throws
/// Error that names the file, and the tensor at fault, when it is missing, truncated or does not add up; nothing is
/// allocated before its size has been checked against the file's. IoError, after data::retry, when a disk or a network does not answer.
TensorFile read_safetensors(const std::string& path);

/// The metadata and names of a file without its data: for a quick look. Tensors have no memory (device `meta`).
TensorFile read_safetensors_header(const std::string& path);

/// Writes atomically: to a temporary file in the same folder, flushed to the disk, then renamed over `path`; a reader
/// sees the old file or the new one. Names may come in any order; the file lists them by falling element size (so that
/// each is aligned), then by name, and holds no times or paths: equal tensors give equal bytes. Any device and strides.
/// Throws Error (full disk, two tensors of one name, a type that is not in the format) and leaves no temporary file.
void write_safetensors(const std::string& path, const TensorFile& file);

/// The same into a file that is open; `path` is what messages call it.
void write_safetensors(data::AtomicFile& out, const TensorFile& file, const std::string& path);

/// The bytes that write_safetensors would write, into `out` (reusing its memory): a copy at one point in time, which can be
/// written while the tensors change. Throws Error as write_safetensors does.
void format_safetensors(const TensorFile& file, std::vector<char>& out);

}  // namespace unlabel::ssl
