#pragma once

#include <unlabel/eval/features.h>

#include <string>
#include <vector>

namespace unlabel::eval {

/// Writes features for use elsewhere, by the suffix of `path`:
///
/// - `NAME.npy`: the features (n x d); beside it `NAME.labels.npy` (n, int64) where there are labels; an older
///   one is removed where there are none
/// - `NAME.safetensors`: one file with `features`, and `labels` where there are any
///
/// and in both cases `NAME.jsonl`, one object a row in the same order: {"name": "cat/1.jpg", "label": 0, "class":
/// "cat"} (the last two only where there are labels). Each file is written atomically. Returns the paths, features
/// first. `dataset` is the one that the features were taken of. Call it on one rank. Throws UsageError for another
/// suffix.
std::vector<std::string> write_embeddings(const std::string& path, const Features& features,
                                          const data::Dataset& dataset);

}  // namespace unlabel::eval
