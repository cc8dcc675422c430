#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

// What the classification protocols share: labels as class numbers, top-k counts and the fields of a result.

namespace unlabel::data {
class Dataset;
}

namespace unlabel::eval {

/// The labels of a data set's images.
struct Labels {
  at::Tensor labels;                     ///< n, int64; -1 where the data has no label
  std::vector<std::string> class_names;  ///< by label; empty: no labels, or labels without names
  std::string source;                    ///< the data set's description, for messages

  std::int64_t size() const { return labels.defined() ? labels.size(0) : 0; }
};

/// The labels of all samples of a data set, or of `samples` (n, int64) if these are given; reads no image.
Labels labels_of(const data::Dataset& dataset, const at::Tensor& samples = {});

/// Throws UsageError unless both sets have images, all of them labeled.
void require_labeled(const Labels& train, const Labels& test);

/// Test classes without training images, which no classifier can get right.
struct UnknownClasses {
  std::vector<std::string> names;  ///< in label order; the label where a class has no name
  std::int64_t images = 0;         ///< their test images
};

/// "12 of 80 test images belong to classes without training images (horse, zebra) and count as wrong"; empty when there are none.
std::string unknown_classes(const UnknownClasses& unknown, std::int64_t test_images);

/// The labels of a training and a test set as class numbers 0, 1, ... without gaps.
struct Targets {
  at::Tensor
      class_labels;  ///< int64: the distinct training labels in ascending order; class c is label class_labels[c]
  at::Tensor train;  ///< n, int64
  at::Tensor test;   ///< m, int64; -1 for a class without training images
  UnknownClasses unknown;
  std::int64_t classes() const { return class_labels.size(0); }
};

/// Matches test labels to training labels by class name, so that a test folder that lacks a class, or has one more, does not shift the
/// others; by number where either side has no names. Throws UsageError, with both lists of names, when no test image is of a training
/// class.
Targets make_targets(const Labels& train, const Labels& test);

/// The first names of a list for a message: "cat, dog, ship", "a, b, c, d, e, ... (100 in all)".
std::string shortened(const std::vector<std::string>& names);

/// Rows whose class ranks first, or among the first five.
struct TopKCounts {
  std::int64_t top1 = 0, top5 = 0;
  std::int64_t tied = 0;  ///< rows in which several classes share the highest score
  TopKCounts& operator+=(const TopKCounts& other);
};

/// Rows of `scores` (m x classes) whose highest score occurs more than once: m, bool.
at::Tensor tied_rows(const at::Tensor& scores);

/// `scores` is m x classes; `target` m, with -1 for a class that cannot be right. A class of score -inf is not ranked, not even among the
/// first five. A row with a NaN or +inf is wrong. A row's class ranks after all classes of higher score, and after those of equal score
/// with a smaller number: ties never depend on chance.
TopKCounts count_top_k(const at::Tensor& scores, const at::Tensor& target);

/// The same for scores = `classify`(features), computed in blocks of rows to bound memory. `classify` may move them to a device.
TopKCounts count_top_k(const at::Tensor& features, const at::Tensor& target,
                       const std::function<at::Tensor(const at::Tensor&)>& classify);

/// What every classification protocol reports.
struct ClassificationResult {
  double accuracy = 0;                  ///< fraction of the test images whose predicted class is right
  std::optional<double> accuracy_top5;  ///< whose class ranks among the first five; only with more than 5 classes
  std::string protocol = "custom";      ///< the published protocol; "custom" when its settings were changed
  std::int64_t train_images = 0, test_images = 0;
  std::int64_t classes = 0;  ///< distinct classes among the training labels
  std::int64_t skipped = 0;  ///< broken images left out of either set
  UnknownClasses unknown;    ///< test images that cannot be right
  std::int64_t tied =
      0;               ///< test images whose predicted class was decided by the order of classes or of training images
  double seconds = 0;  ///< of the protocol, without the features that it is given

  /// Sets the numbers of images and classes.
  void set_sizes(const Targets& targets);
  /// Sets both accuracies and `tied` from the counts over the test images.
  void set_counts(const TopKCounts& counts);
};

}  // namespace unlabel::eval
