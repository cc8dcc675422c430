#pragma once

#include <unlabel/eval/features.h>

#include <cstdint>
#include <string>
#include <vector>

namespace unlabel::eval {

/// Test images of classes that no training image is of, which no classifier can get right.
struct UnknownClasses {
  std::vector<std::string> names;  ///< in label order; a class without a name is called by its label
  std::int64_t images = 0;
};

/// "12 of 80 test images are of classes that no training image is of (horse, zebra) and count as wrong"; empty when there are none.
std::string unknown_classes(const UnknownClasses& unknown, std::int64_t test_images);

/// The labels of a training and a test set as class numbers 0, 1, ... without gaps.
struct Targets {
  at::Tensor class_labels;  ///< int64: the distinct training labels in order; class c is label class_labels[c]
  at::Tensor train;         ///< n, int64
  at::Tensor test;          ///< m, int64; -1 for a class that training has not seen
  UnknownClasses unknown;
  std::int64_t classes() const { return class_labels.size(0); }
};

/// Matches the test labels by class name (match_labels) and closes the gaps. Throws UsageError, with both lists of names, when no test
/// image is of a training class.
Targets make_targets(const Features& train, const Features& test);

/// The first names of a list for a message: "cat, dog, ship", "a, b, c, d, e, ... (100 in all)".
std::string shortened(const std::vector<std::string>& names);

/// How many rows' classes came first, or among the first five.
struct TopKCounts {
  std::int64_t top1 = 0, top5 = 0;
  std::int64_t tied = 0;  ///< rows in which several classes share the first place
  TopKCounts& operator+=(const TopKCounts& other);
};

/// Rows of `scores` (m x classes) whose largest value stands more than once: m, bool.
at::Tensor tied_rows(const at::Tensor& scores);

/// `scores` is m x classes; `target` m, with -1 for a class that cannot be right. A score of -inf says that nothing speaks for the class:
/// it has no place, not even among the first five. A row with a NaN or +inf is wrong. A row's class comes after all classes of larger
/// score, and after those of equal score with a smaller number: ties never depend on chance.
TopKCounts count_top_k(const at::Tensor& scores, const at::Tensor& target);

}  // namespace unlabel::eval
