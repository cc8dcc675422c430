#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/eval/features.h>
#include <unlabel/eval/targets.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace unlabel::eval {

/// Which published k-nearest-neighbour protocol to follow.
///
/// | protocol   | k   | temperature | from                                                                |
/// |------------|-----|-------------|---------------------------------------------------------------------|
/// | `dino`     | 20  | 0.07        | Caron et al. 2021, arXiv:2104.14294 (its eval_knn, k = 20)          |
/// | `instdisc` | 200 | 0.07        | Wu et al. 2018, arXiv:1805.01978, section 3.4                       |
/// | `lightly`  | 200 | 0.1         | the lightly benchmarks; VISSL's defaults are the same               |
///
/// The same weights differ by many points between them, so a figure means nothing without its protocol.
struct KnnOptions {
  std::string protocol = "dino";      ///< dino, instdisc or lightly
  std::optional<std::int64_t> k;      ///< neighbors that vote, instead of the protocol's
  std::optional<double> temperature;  ///< of the votes, instead of the protocol's
  std::string device = "cpu";         ///< where to compute: cpu, cuda or cuda:N
};

OptionTable table(KnnOptions& options);

/// Throws what knn() would for these options, so that it is told before features are made.
void require_valid(const KnnOptions& options);

struct KnnResult {
  double accuracy = 0;  ///< fraction of the test images whose class won
  std::optional<double>
      accuracy_top5;     ///< their class was among the five first of those with a vote; only with more than 5 classes
  std::string protocol;  ///< the protocol's name; "custom" when k or the temperature was changed
  std::int64_t k = 0;    ///< as used: at most the number of training images
  std::int64_t k_asked = 0;  ///< as the protocol has it; larger than k when there were too few training images
  double temperature = 0;
  std::int64_t train_images = 0, test_images = 0;
  std::int64_t classes = 0;  ///< distinct classes among the training labels
  std::int64_t skipped = 0;  ///< broken images left out of either set
  UnknownClasses unknown;    ///< test images that cannot be right
  std::int64_t tied =
      0;  ///< test images whose first class, or whose neighbors, only the order of the training images decided
  double seconds = 0;  ///< of the search alone
};

/// Weighted k-nearest-neighbour classification of frozen features.
///
/// With features x (test) and t_i (training) scaled to unit length, s_i = <x, t_i>, and N_k the k training images of
/// largest s_i, class c gets the votes
///
///     v_c = sum over i in N_k of class c of exp(s_i / temperature)        (compared as logarithms, which no temperature
///     makes 0 or infinite)
///
/// and the class with most votes wins. A class without a vote has no place: with k = 1 top-5 is top-1. Ties never depend on chance: of
/// equal similarities the training image that comes first counts as nearer, and of equal votes the class with the smaller label wins.
///
/// Any number of images and classes: labels may be sparse, k is lowered to the number of training images, and a test
/// label that training has not seen counts as wrong. Test labels are matched by class name (match_labels). Memory is
/// bounded: similarities are computed in blocks. Ranks share the test rows; every rank gets the whole result.
///
/// Throws UsageError for an unknown protocol, k < 1, a temperature outside of [1e-300, 1e300], unlabeled or empty sets, and
/// test classes of which training has none.
KnnResult knn(const Features& train, const Features& test, const KnnOptions& options, const ssl::Group& group);

/// The part of knn() that needs no labels: for each row of `queries` (m x d) its k nearest rows of `keys` (n x d) by
/// cosine similarity, nearest first, equal ones in the order of the rows. k must be in [1, n].
struct Neighbours {
  at::Tensor similarity;  ///< m x k, float32
  at::Tensor index;       ///< m x k, int64
};
Neighbours nearest(const at::Tensor& queries, const at::Tensor& keys, std::int64_t k);

}  // namespace unlabel::eval
