#pragma once

#include <unlabel/eval/features.h>

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace unlabel::data {
class AtomicFile;
}

namespace unlabel::eval {

/// Writes features for other programs, in the format that the suffix of `path` names:
///
/// - `NAME.npy`: the features (n x d); beside it `NAME.labels.npy` (n, int64) where there are labels, else that of an earlier `NAME.npy` is
///   removed
/// - `NAME.safetensors`: one file with `features`, and `labels` where there are any
///
/// and in both cases `NAME.jsonl`, one object a row in the same order: {"name": "cat/1.jpg", "label": 0, "class":
/// "cat"} (the last two only where there are labels). All are written before the first is renamed to its name (data::commit_all). Returns
/// the paths, features first. `dataset` is the one that the features were computed from. To be called on one rank. Throws as
/// require_embedding_output does.
std::vector<std::string> write_embeddings(const std::string& path, const Features& features,
                                          const data::Dataset& dataset);

/// The files that write_embeddings writes or removes for `path`. Throws UsageError when it could not: for another suffix, a file that
/// cannot be written, and a NAME.jsonl or NAME.labels.npy that belongs to no embeddings of that name and would be lost.
std::vector<std::string> require_embedding_output(const std::string& path);

/// Writes a tensor as NumPy's .npy, format 1.0, for `numpy.load`: float32 as '<f4', float64 as '<f8',
/// int64 as '<i8', in C order. Any device and strides. Atomic: to a temporary file in the same folder, flushed to the
/// disk, then renamed over `path`. Throws UsageError for another type, and Error that names the file when it cannot be
/// written; no temporary file is left.
void write_npy(const std::string& path, const at::Tensor& tensor);

/// The same into an open file.
void write_npy(data::AtomicFile& file, const at::Tensor& tensor);

}  // namespace unlabel::eval
