#include <unlabel/augment/error.h>
#include <unlabel/augment/json_line.h>
#include <unlabel/data/atomic_file.h>
#include <unlabel/eval/embed.h>
#include <unlabel/eval/npy.h>
#include <unlabel/ssl/safetensors.h>

#include <nlohmann/json.hpp>
#include <torch/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace unlabel::eval {

std::vector<std::string> write_embeddings(const std::string& path, const Features& features,
                                          const data::Dataset& dataset) {
  const std::filesystem::path file(path);
  const auto suffix = file.extension().string();
  if (suffix != ".npy" && suffix != ".safetensors")
    throw UsageError("embeddings are written to a .npy or a .safetensors file, not to '", path, "'");
  const auto stem = (file.parent_path() / file.stem()).string();
  const bool labelled = features.size() > 0 && (features.labels >= 0).any().item<bool>();

  std::string rows;
  for (std::int64_t row = 0; row < features.size(); ++row) {
    nlohmann::ordered_json line;
    line["name"] = dataset.name(features.indices[row].item<std::int64_t>());
    const auto label = features.labels[row].item<std::int64_t>();
    if (label >= 0) line["label"] = label;
    if (label >= 0 && label < static_cast<std::int64_t>(features.class_names.size()))
      line["class"] = features.class_names[label];
    rows += json_line(line) + "\n";
  }

  std::vector<std::string> written{path};
  if (suffix == ".npy") {
    write_npy(path, features.values);
    const auto labels = stem + ".labels.npy";
    std::error_code ignored;
    if (labelled)
      write_npy(written.emplace_back(labels), features.labels);
    else
      std::filesystem::remove(labels, ignored);  // of other features, written here before
  } else {
    ssl::TensorFile tensors;
    tensors.tensors.emplace_back("features", features.values);
    if (labelled) tensors.tensors.emplace_back("labels", features.labels);
    ssl::write_safetensors(path, tensors);
  }
  data::write_file(written.emplace_back(stem + ".jsonl"), rows);
  return written;
}

}  // namespace unlabel::eval
