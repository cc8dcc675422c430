#pragma once

#include <unlabel/ssl/weights/safetensors.h>

#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <map>
#include <string>

namespace unlabel::launch {

/// The largest absolute difference between two files of tensors, of those whose names begin with `prefix`.
inline double largest_difference(const std::string& a, const std::string& b, const std::string& prefix = "") {
  const auto first = ssl::read_safetensors(a).tensors, second = ssl::read_safetensors(b).tensors;
  const std::map<std::string, at::Tensor> by_name(second.begin(), second.end());
  EXPECT_EQ(first.size(), second.size());
  double largest = 0;
  for (const auto& [name, tensor] : first) {
    if (!name.starts_with(prefix)) continue;
    const auto difference = (tensor.to(torch::kFloat64) - by_name.at(name).to(torch::kFloat64)).abs();
    largest = std::max(largest, difference.max().item<double>());
  }
  return largest;
}

}  // namespace unlabel::launch
