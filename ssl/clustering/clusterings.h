#pragma once

#include <unlabel/ssl/method.h>

#include <cstdint>

namespace unlabel::ssl {

// Functions that DeepCluster and DeepCluster-v2 share.

/// A seed for the clustering number `round` (from 0) of a run: the round-th number of SplitMix64 (Steele, Lea & Flood 2014) started from
/// `seed`. It differs between rounds, and between runs whose seeds are close to each other, such as 0 and 1.
std::uint64_t clustering_seed(std::uint64_t seed, std::int64_t round);

/// True if `values` is of type int64 and every value is in [low, high). Validates indices that come from a checkpoint.
bool are_whole_numbers(const at::Tensor& values, std::int64_t low, std::int64_t high);

/// Adds to the diagnostics of an epoch the normalized mutual information (kmeans.h) between `clusters` (N, int64; negative: the sample has
/// no cluster) and `before`, the clusters of the previous epoch (`nmi_before`; left out when `before` is undefined), and between `clusters`
/// and the labels (`nmi_labels`; left out when the data set has no labels).
void add_mutual_information(Diagnostics& diagnostics, const at::Tensor& before, const at::Tensor& clusters,
                            const EpochContext& epoch);

}  // namespace unlabel::ssl
