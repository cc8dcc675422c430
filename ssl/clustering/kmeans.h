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
  bool spherical = false;  ///< points and centroids on the unit sphere: the nearest is the one of largest dot product
  std::string empty =
      "split";  ///< a cluster without points: split (takes half of a large one, as faiss does) or keep (its centroid)
  std::uint64_t seed = 0;             ///< of the first centroids and of splits
  bool broadcast_from_rank0 = false;  ///< the first centroids are rank 0's points (DeepCluster-v2's code), not any
};

struct KmeansResult {
  at::Tensor centroids;    ///< K x d, float32, the same on every rank
  at::Tensor assignments;  ///< n, int64: the cluster of each of this rank's points under these centroids
  std::vector<double>
      objective;           ///< mean over all points, before each update and at the end: |x - c|^2; spherical: 1 - x . c
  std::int64_t empty = 0;  ///< clusters without a point at the end
  std::int64_t split = 0;  ///< how often a cluster was found empty and split
};

/// k-means (Lloyd 1982) over the points of all ranks, in full: no subsampling.
///
///     assignment:  a_i = argmin_k |x_i - c_k|^2        (the first of equals)
///     update:      c_k = mean of the x_i with a_i = k   (spherical: then c_k / |c_k|)
///
/// and a last assignment. `points`: n x d, float32, this rank's, on any device; n may differ between ranks. Distances are matrix
/// products in blocks. Sums are in float64 and in a fixed order, so that a run repeats itself bit for bit, on any number of CPU
/// threads, and other world sizes differ by the order of sums alone: a few last digits.
///
/// The first centroids are `first` (K x d), when it is given, else K different points, drawn by the seed from all ranks' in rank order.
/// An empty cluster, with `split`, becomes half of another one, drawn in proportion to its size: both take its centroid, times 1 + and
/// 1 - 1/1024 in turn along the dimensions (as faiss::Clustering).
///
/// Throws UsageError for fewer points than clusters, and options out of range. Every rank must call it.
KmeansResult kmeans(const at::Tensor& points, const KmeansOptions& options, const Group& group,
                    const at::Tensor& first = {});

/// Normalised mutual information of two labellings of the same n things (int64, values from 0; a negative one takes its thing out), in
/// [0, 1]: I(a; b) / sqrt(H(a) H(b)) (DeepCluster, eq. 3). 0 when a labelling has one value only.
double normalized_mutual_information(const at::Tensor& a, const at::Tensor& b);

}  // namespace unlabel::ssl
