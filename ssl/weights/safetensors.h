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

/// The contents of a safetensors file.
struct TensorFile {
  NamedTensors tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads a safetensors file (https://huggingface.co/docs/safetensors). The tensors are on the CPU, contiguous, own their memory, and are in
/// the order of the file. Types: F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL. Throws Error with the names of the file and the tensor
/// if the file is missing, truncated or inconsistent; no tensor is allocated before its size was checked against that of the file. Throws
/// IoError if a disk or network does not respond, after the attempts of data::retry.
TensorFile read_safetensors(const std::string& path);

/// Reads the metadata, names, types and shapes only. Tensors have no memory (device `meta`). Throws as read_safetensors does.
TensorFile read_safetensors_header(const std::string& path);

/// Writes atomically: to a temporary file in the same folder, which is flushed to the disk and then renamed to `path`; a reader sees either
/// the old file or the new one. Tensors may be in any order, on any device and with any strides. The file lists them by decreasing element
/// size (so that each is aligned), then by name, and has no times or paths; so equal tensors give equal bytes. Throws Error (full disk, two
/// tensors with the same name, a type that the format does not have) and leaves no temporary file.
void write_safetensors(const std::string& path, const TensorFile& file);

/// The same, into a file that is open already; `path` is its name in messages.
void write_safetensors(data::AtomicFile& out, const TensorFile& file, const std::string& path);

/// Puts the bytes that write_safetensors would write into `out`, whose memory is reused: a snapshot, which can be written to disk while the
/// tensors change. Throws Error as write_safetensors does.
void format_safetensors(const TensorFile& file, std::vector<char>& out);

}  // namespace unlabel::ssl
