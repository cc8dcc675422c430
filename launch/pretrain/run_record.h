#pragma once

#include <unlabel/data/dataset.h>
#include <unlabel/data/sample_transform.h>
#include <unlabel/launch/pretrain/pretrain_options.h>
#include <unlabel/ssl/group.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <string>

namespace unlabel::launch {

/// What a checkpoint of a run contains besides tensors: settings, what identifies the data, and the arithmetic. Keeps references to its
/// parts, which must outlive it.
struct RunRecord {
  const PretrainOptions& options;
  const data::Dataset& dataset;
  const data::SampleTransform& transform;
  std::uint64_t fingerprint = 0;      ///< of the data set
  std::uint64_t frozen_checksum = 0;  ///< of Trainable::frozen_modules (ssl::frozen_checksum); 0: there are none
  int world_size = 1;
  nlohmann::json arithmetic{};  ///< gather_arithmetic(), of every rank

  /// The value for Checkpoint::training; `monitor` is the state of the training monitor.
  nlohmann::json to_json(nlohmann::json monitor) const;

  /// Compares this run with `saved`, the record in a checkpoint in `folder`. Throws MismatchError that names the differences when data,
  /// settings, views or frozen weights differ. Which files of the data differ is found by `file_list`, if that file exists
  /// (data::write_file_list).
  void require_same(const nlohmann::json& saved, const std::string& folder, const std::string& file_list) const;
};

/// Metadata for encoder.safetensors that evaluation needs to prepare inputs: for images the size, mean, std, and decoding options.
std::map<std::string, std::string> encoder_metadata(const PretrainOptions& options);

/// What determines rounding errors of sums on a CPU, one object per rank: [{"threads": 2, "capability": "AVX512", "kernels": "vnni,
/// bf16"}, ...]. Collective: all ranks must call it.
nlohmann::json gather_arithmetic(const ssl::Group& group);

/// The differences between two results of gather_arithmetic, for the ranks that both contain: "rank 1 used 2 thread(s) with AVX2 before and
/// uses 1 thread(s) with AVX512 now". Empty when there are none.
std::string arithmetic_changes(const nlohmann::json& before, const nlohmann::json& now);

/// The first rank that differs from rank 0: "rank 1 uses 2 thread(s) with AVX2 and rank 0 uses ..."; empty when all are equal.
std::string arithmetic_differences(const nlohmann::json& now);

}  // namespace unlabel::launch
