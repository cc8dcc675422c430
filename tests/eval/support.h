#pragma once

#include <unlabel/augment/error.h>
#include <unlabel/augment/options.h>
#include <unlabel/eval/features.h>

#include "refusal.h"
#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

namespace unlabel::eval::testing {

inline at::Tensor tensor_of(const nlohmann::json& rows, at::ScalarType type) {
  if (rows.empty() || !rows[0].is_array())
    return torch::tensor(rows.get<std::vector<double>>(), torch::kFloat64).to(type);
  std::vector<at::Tensor> parts;
  for (const auto& row : rows) parts.push_back(tensor_of(row, type));
  return torch::stack(parts);
}

inline Features make_features(const at::Tensor& values, const at::Tensor& labels, std::vector<std::string> names = {}) {
  Features features;
  features.values = values;
  features.labels = labels;
  features.indices = torch::arange(values.size(0));
  features.class_names = std::move(names);
  return features;
}

inline nlohmann::json golden(const std::string& name) {
  return read_json_file(std::string(UNLABEL_SOURCE_DIR) + "/tests/golden/" + name);
}

/// Points around one center a class; the same for the same seed.
inline Features blobs(std::int64_t n, std::int64_t dim, std::int64_t classes, std::uint64_t seed, double noise = 1) {
  auto centre_generator = at::detail::createCPUGenerator(99);
  auto generator = at::detail::createCPUGenerator(seed);
  const auto centers = torch::randn({classes, dim}, centre_generator);
  const auto labels = torch::randint(classes, {n}, generator, torch::kInt64);
  return make_features(centers.index_select(0, labels) + noise * torch::randn({n, dim}, generator), labels);
}

}  // namespace unlabel::eval::testing
