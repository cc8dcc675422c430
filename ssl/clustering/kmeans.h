#pragma once

#include <unlabel/ssl/group.h>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace unlabel::ssl {

struct KmeansOptions {
  std::int64_t clusters = 1000;  ///< K
  int iterations = 20;           ///< updates of the centroids
  bool spherical =
      false;  ///< points and centroids have length 1; the nearest centroid is the one with the largest dot product
  std::string empty_action =
      "split";  ///< a cluster without points: split (it gets half of a large one, as in faiss) or keep (it keeps its centroid)
  std::uint64_t seed = 0;  ///< of the random choice of the first centroids and of the clusters to split
  bool broadcast_from_rank0 =
      false;  ///< choose the first centroids among rank 0's points (DeepCluster-v2's code), not all ranks'
};

struct KmeansResult {
  at::Tensor centroids;    ///< K x d, float32, the same on every rank
  at::Tensor assignments;  ///< n, int64: the cluster of each of this rank's points under these centroids
  std::vector<double>
      objective;  ///< iterations + 1 values: the mean over all points of |x - c|^2 (spherical: 1 - x . c) at each assignment
  std::int64_t empty_clusters = 0;  ///< clusters without a point in the last assignment
  std::int64_t splits = 0;          ///< number of splits, summed over the iterations
};

/// k-means (Lloyd 1982) over the points of all ranks; every point is used (faiss subsamples by default). Each iteration makes
///
///     assignment:  a_i = argmin_k |x_i - c_k|^2        (the lowest k when several are equal)
///     update:      c_k = mean of the x_i with a_i = k   (spherical: then c_k / |c_k|)
///
/// and one more assignment follows the last update. `points`: this rank's, n x d, float32, on any device; n may differ between ranks.
/// Distances are computed as matrix products, block by block. Sums are in float64 and in a fixed order, so the result is the same bit for
/// bit in every run, with any number of CPU threads; with another number of ranks only the last digits differ.
///
/// `first` (K x d): the first centroids; if undefined, K different points of all ranks, chosen by the seed. With `split`, an empty cluster
/// takes half of another one, which is chosen with probability proportional to its size - 1: both get its centroid, multiplied by 1 +
/// 1/1024 and 1 - 1/1024 with signs alternating along the dimensions (as in faiss::Clustering).
///
/// Throws UsageError for fewer points than clusters, and for options out of range. Collective: every rank must call it.
KmeansResult kmeans(const at::Tensor& points, const KmeansOptions& options, const Group& group,
                    const at::Tensor& first = {});

/// Normalized mutual information of two labelings a and b of the same n samples, in [0, 1]:
///
///     NMI = I(a; b) / sqrt(H(a) H(b))        (DeepCluster, arXiv:1807.05520, eq. 3)
///
/// `a`, `b`: n, int64, labels from 0; samples with a negative label in either are left out. 0 when a labeling has only one value.
double normalized_mutual_information(const at::Tensor& a, const at::Tensor& b);

}  // namespace unlabel::ssl
