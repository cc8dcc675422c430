#pragma once

#include <unlabel/eval/protocol.h>

#include <cstdint>
#include <string>

namespace unlabel::eval {

struct KnnOptions {
  std::int64_t k = 20;         ///< neighbors that vote
  double temperature = 0.07;   ///< of the votes
  std::string device = "cpu";  ///< where to compute: cpu, cuda or cuda:N
};

/// Throws UsageError as knn() does for these options, before features are computed.
void require_valid(const KnnOptions& options);

/// `tied` counts test images whose class of most votes, or whose neighbors, only an order decided; `seconds` are of the search.
struct KnnResult : ClassificationResult {
  std::int64_t k = 0;        ///< as used: at most the number of training images
  std::int64_t k_asked = 0;  ///< KnnOptions::k
  double temperature = 0;
};

/// Weighted k-nearest-neighbor classification of frozen features (Wu et al. 2018, arXiv:1805.01978, section 3.4).
///
/// With features x (test) and t_i (training) scaled to unit length, s_i = <x, t_i>, and N_k the k training images of
/// largest s_i, class c gets the votes
///
///     v_c = sum over i in N_k of class c of exp(s_i / temperature)
///
/// and the class with most votes wins. (Votes are compared as logarithms, which do not overflow at any temperature.) A class without a vote
/// is not ranked: with k = 1 top-5 is top-1. Ties never depend on chance: of equal similarities the training image that comes first counts
/// as nearer, and of equal votes the class with the smaller label wins.
///
/// Any number of images and classes: labels may be sparse, k is lowered to the number of training images, and a test
/// label without training images counts as wrong. Test labels are matched by class name (make_targets). Memory is
/// bounded: similarities are computed in blocks. Ranks share the test rows; every rank gets the whole result.
///
/// Throws UsageError for k < 1, a temperature outside of [1e-300, 1e300], unlabeled or empty sets, and when no test class has training
/// images.
KnnResult knn(const Features& train, const Features& test, const KnnOptions& options, const ssl::Group& group);

Report report(const KnnResult& result);

/// A kNN protocol of these settings, which --k and --temperature override; `source` is the paper. The same weights differ by many points
/// between protocols.
ProtocolSpec knn_protocol(const std::string& name, std::int64_t k, double temperature, const std::string& source);

/// The part of knn() that needs no labels: for each row of `queries` (m x d) its k nearest rows of `keys` (n x d) by
/// cosine similarity, nearest first, equal ones in the order of the rows. k must be in [1, n].
struct Neighbors {
  at::Tensor similarity;  ///< m x k, float32
  at::Tensor index;       ///< m x k, int64
};
Neighbors nearest(const at::Tensor& queries, const at::Tensor& keys, std::int64_t k);

}  // namespace unlabel::eval
