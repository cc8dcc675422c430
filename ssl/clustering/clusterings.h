#pragma once

#include <unlabel/ssl/method.h>

#include <cstdint>

namespace unlabel::ssl {

// What DeepCluster and DeepCluster-v2 share.

/// A seed for the round-th clustering of a run: another for each, and no run's is one of a run with a seed near to its own. The round-th
/// number of SplitMix64 (Steele, Lea & Flood 2014) from `seed`.
std::uint64_t clustering_seed(std::uint64_t seed, std::int64_t round);

/// True for int64 values from `low` to `high` - 1: what is read from a checkpoint may be anything.
bool are_whole_numbers(const at::Tensor& values, std::int64_t low, std::int64_t high);

/// Adds to an epoch's news how much the clusters of all samples (N, int64; negative: none) agree with those of the epoch before
/// (`nmi_before`; not where `before` is undefined) and with the labels (`nmi_labels`, where the data has any).
void add_mutual_information(Diagnostics& news, const at::Tensor& before, const at::Tensor& clusters,
                            const Epoch& epoch);

}  // namespace unlabel::ssl
