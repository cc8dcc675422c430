#pragma once

#include <unlabel/eval/features.h>

#include <cstdint>

namespace unlabel::eval {

/// The labels of a training and a test set as class numbers 0, 1, ... without gaps.
struct Targets {
  at::Tensor class_labels;  ///< int64: the distinct training labels in order; class c is label class_labels[c]
  at::Tensor train;         ///< n, int64
  at::Tensor test;          ///< m, int64; -1 for a class that training has not seen
  std::int64_t classes() const { return class_labels.size(0); }
};

/// Matches the test labels by class name (match_labels) and closes the gaps.
Targets make_targets(const Features& train, const Features& test);

/// How many rows' classes came first, or among the first five.
struct Hits {
  std::int64_t top1 = 0, top5 = 0;
  Hits& operator+=(const Hits& other);
};

/// `scores` is m x classes; `target` m, with -1 for a class that cannot be right. A row with a score that is not finite
/// is wrong. A row's class comes after all classes of larger score, and after those of equal score with a smaller
/// number: ties never depend on chance.
Hits count_hits(const at::Tensor& scores, const at::Tensor& target);

}  // namespace unlabel::eval
