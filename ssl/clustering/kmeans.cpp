#include <unlabel/augment/error.h>
#include <unlabel/augment/random.h>
#include <unlabel/data/collate.h>
#include <unlabel/data/sampler.h>
#include <unlabel/ssl/clustering/kmeans.h>

#include <ATen/TensorIterator.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>

namespace unlabel::ssl {

namespace {

constexpr std::int64_t kBlock = 4096;  ///< points of one matrix product on a GPU
constexpr std::int64_t kRows = 128;    ///< points of one matrix product on a CPU: the fastest of 64 to 4096
constexpr int kLanes = 8;              ///< iterations of an inner loop that the compiler turns into vector instructions
constexpr double kSplit = 1.0 / 1024;  ///< relative distance between the two centroids of a split cluster, as in faiss

/// How the points are distributed over the ranks: the number on each rank, the index of this rank's first point, and the sum of all.
struct RankPartition {
  std::vector<std::int64_t> counts;
  std::int64_t begin = 0, total = 0;

  RankPartition(std::int64_t own, const Group& group) {
    const auto all =
        group.all_gather(torch::full({1}, own, torch::TensorOptions(torch::kInt64).device(group.device()))).cpu();
    for (int rank = 0; rank < group.world_size(); ++rank) {
      counts.push_back(all[rank].item<std::int64_t>());
      if (rank < group.rank()) begin += counts.back();
      total += counts.back();
    }
  }
};

/// The points with these indices into all ranks' points (concatenated in rank order), on every rank: each rank fills in its own rows, and
/// the sum over ranks completes them.
at::Tensor take_rows(const at::Tensor& points, const std::vector<std::int64_t>& positions,
                     const RankPartition& partition, const Group& group) {
  std::vector<std::int64_t> from, to;  // this rank's rows: index into `points`, index into the result
  for (std::size_t i = 0; i < positions.size(); ++i) {
    const auto own = positions[i] - partition.begin;
    if (own < 0 || own >= points.size(0)) continue;
    from.push_back(own);
    to.push_back(static_cast<std::int64_t>(i));
  }
  auto rows = torch::zeros({static_cast<std::int64_t>(positions.size()), points.size(1)}, points.options());
  const auto on_device = [&](const std::vector<std::int64_t>& list) {
    return data::to_device(torch::tensor(list, torch::kInt64), points.device());
  };
  rows.index_copy_(0, on_device(to), points.index_select(0, on_device(from)));
  group.all_reduce_sum(rows);
  return rows;
}

/// The first K points of a random permutation of all points (or of rank 0's, which come first in rank order).
at::Tensor first_centroids(const at::Tensor& points, const KmeansOptions& options, const RankPartition& partition,
                           const Group& group) {
  const auto candidates = options.broadcast_from_rank0 ? partition.counts[0] : partition.total;
  if (candidates < options.clusters)
    throw UsageError(options.clusters, " clusters of ", candidates,
                     options.broadcast_from_rank0 ? " points of rank 0" : " points", ": give fewer clusters");
  const data::Permutation order(static_cast<std::uint64_t>(candidates), options.seed, 0);
  std::vector<std::int64_t> positions(static_cast<std::size_t>(options.clusters));
  for (std::size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<std::int64_t>(order(i));
  return take_rows(points, positions, partition, group);
}

/// This rank's points.
struct Points {
  at::Tensor all;                  ///< n x d
  std::vector<at::Tensor> blocks;  ///< views of consecutive rows, one matrix product each
  at::Tensor squares;              ///< n, float64: |x_i|^2; spherical: 1

  Points(const at::Tensor& points, bool spherical)
      : all(points),
        blocks(points.split(points.is_cpu() ? kRows : kBlock)),
        squares(torch::ones({points.size(0)}, points.options().dtype(torch::kFloat64))) {
    if (spherical) return;
    const auto parts = squares.split(blocks[0].size(0));
    for (std::size_t i = 0; i < parts.size(); ++i) parts[i].copy_(blocks[i].square().sum(1));
  }
};

/// The result of one assignment step.
struct Assignment {
  at::Tensor clusters;  ///< n, int64: of this rank's points
  at::Tensor sums;      ///< K x d, float64: sum of the points of each cluster, over all ranks
  at::Tensor counts;    ///< K, float64: number of points of each cluster, over all ranks
  at::Tensor distance;  ///< float64 scalar: sum of the objective over the points of all ranks
};

/// Runs work(begin, end) for parts of [0, count) on LibTorch's threads. at::parallel_for cannot do it: in a source compiled without OpenMP
/// it is a serial loop. TensorIterator::for_each is compiled into LibTorch, with OpenMP.
template <class Work>
void parallel_blocks(std::int64_t count, const Work& work) {
  auto positions = torch::arange(count, torch::kInt64);
  auto iterator = at::TensorIterator::nullary_op(positions);
  iterator.for_each(
      [&](char** data, const std::int64_t*, std::int64_t size, std::int64_t /*rows: 1*/) {
        const c10::InferenceMode inference;  // the caller's NoGradGuard holds on the caller's thread only
        const auto begin = *reinterpret_cast<const std::int64_t*>(data[0]);
        work(begin, begin + size);
      },
      /*grain_size=*/1);
}

/// The maximum. Arguments are passed by value, because the references of std::max make the compiler emit branches.
float larger(float a, float b) { return a < b ? b : a; }

/// The largest score[j] - offset[j], j < k, and the lowest j that has it. It replaces at::max, which takes up to half as long as the matrix
/// product. Lane i handles j = i, i + 8, i + 16 ...; it keeps its largest value and the start of the chunk (64 values of j) that holds it.
/// The exact j is searched for in that chunk at the end.
std::pair<float, std::int64_t> first_largest(const float* score, const float* offset, std::int64_t k) {
  constexpr std::int64_t kChunk = 64;
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  float largest[kLanes];
  std::int32_t chunk[kLanes] = {};
  std::fill(largest, largest + kLanes, kLowest);
  const auto whole = k / kLanes * kLanes;
  for (std::int64_t begin = 0; begin < whole; begin += kChunk) {
    float here[kLanes];
    std::fill(here, here + kLanes, kLowest);
    const auto end = std::min(begin + kChunk, whole);
    for (auto j = begin; j < end; j += kLanes)
      for (int lane = 0; lane < kLanes; ++lane) here[lane] = larger(here[lane], score[j + lane] - offset[j + lane]);
    // A strict comparison keeps the first chunk among equals.
    for (int lane = 0; lane < kLanes; ++lane)
      chunk[lane] = here[lane] > largest[lane] ? static_cast<std::int32_t>(begin) : chunk[lane];
    for (int lane = 0; lane < kLanes; ++lane) largest[lane] = larger(largest[lane], here[lane]);
  }
  // The best value of all lanes, and the lowest position among the lanes that have it.
  float best = kLowest;
  for (int lane = 0; lane < kLanes; ++lane) best = larger(best, largest[lane]);
  auto place = k;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (largest[lane] != best) continue;
    std::int64_t j = chunk[lane] + lane;
    while (j + kLanes < whole && score[j] - offset[j] != best) j += kLanes;
    place = std::min(place, j);
  }
  // The up to seven scores that do not fill a row of lanes.
  for (auto j = whole; j < k; ++j) {
    if (score[j] - offset[j] > best) {
      best = score[j] - offset[j];
      place = j;
    }
  }
  return {best, place};
}

/// clusters_i = argmax_k x_i . c_k - offset_k, and scores_i = that maximum. On a CPU each thread computes matrix products of kRows points:
/// the scores then stay in its core's cache, and the result does not depend on the number of threads.
void find_nearest(const Points& points, const at::Tensor& centroids, const at::Tensor& offset, at::Tensor& clusters,
                  at::Tensor& scores) {
  const auto c = centroids.t().contiguous();
  if (!points.all.is_cpu()) {
    std::int64_t begin = 0;
    for (const auto& x : points.blocks) {
      const auto [best, cluster] = at::addmm(offset, x, c, /*beta=*/-1, /*alpha=*/1).max(1);
      scores.narrow(0, begin, x.size(0)).copy_(best);
      clusters.narrow(0, begin, x.size(0)).copy_(cluster);
      begin += x.size(0);
    }
    return;
  }
  // CPU: one buffer of scores a thread; the last block may have fewer rows.
  const auto k = centroids.size(0);
  const auto* offsets = offset.const_data_ptr<float>();
  auto* cluster = clusters.mutable_data_ptr<std::int64_t>();
  auto* best = scores.mutable_data_ptr<float>();
  parallel_blocks(static_cast<std::int64_t>(points.blocks.size()), [&](std::int64_t block, std::int64_t end) {
    const auto buffer = torch::empty({kRows, k}, centroids.options());
    for (; block < end; ++block) {
      const auto& x = points.blocks[static_cast<std::size_t>(block)];
      const auto first = block * kRows, rows = x.size(0);
      auto products = rows == kRows ? buffer : buffer.narrow(0, 0, rows);
      at::mm_out(products, x, c);
      const auto* row = products.const_data_ptr<float>();
      for (auto i = first; i < first + rows; ++i, row += k)
        std::tie(best[i], cluster[i]) = first_largest(row, offsets, k);
    }
  });
}

/// sums[cluster_i] += (x_i, 1, distance_i), with `sums` of K x (d + 2). Each cluster is summed by one thread in the order of the points, so
/// that the result does not depend on the number of threads.
void add_rows(at::Tensor& sums, const at::Tensor& clusters, const at::Tensor& points, const at::Tensor& distances) {
  const auto d = points.size(1);
  const auto* cluster = clusters.const_data_ptr<std::int64_t>();
  const auto* distance = distances.const_data_ptr<double>();
  auto* all = sums.mutable_data_ptr<double>();
  parallel_blocks(sums.size(0), [&](std::int64_t begin, std::int64_t end) {
    const auto* x = points.const_data_ptr<float>();
    for (std::int64_t i = 0; i < points.size(0); ++i, x += d) {
      if (cluster[i] < begin || cluster[i] >= end) continue;
      auto* sum = all + cluster[i] * (d + 2);
      std::int64_t j = 0;
      for (; j + kLanes <= d; j += kLanes)
        for (int lane = 0; lane < kLanes; ++lane) sum[j + lane] += x[j + lane];
      for (; j < d; ++j) sum[j] += x[j];
      sum[d] += 1;
      sum[d + 1] += distance[i];
    }
  });
}

/// One assignment step; one all-reduce.
Assignment assign(const Points& points, const at::Tensor& centroids, bool spherical, const Group& group) {
  const auto n = points.all.size(0), k = centroids.size(0), d = centroids.size(1);
  const auto wide = points.squares.options();
  Assignment result;
  result.clusters = torch::empty({n}, wide.dtype(torch::kInt64));
  auto scores = torch::empty({n}, centroids.options());
  // |x - c|^2 = |x|^2 - 2 (x . c - |c|^2 / 2), so the nearest centroid has the largest x . c - |c|^2 / 2.
  const auto offset = spherical ? torch::zeros({k}, centroids.options()) : centroids.square().sum(1) / 2;
  find_nearest(points, centroids, offset, result.clusters, scores);
  const auto distances = points.squares.sub(scores, spherical ? 1 : 2);
  // Sums, counts and distances of each cluster, in one tensor for one all-reduce.
  auto all = torch::zeros({k, d + 2}, wide);
  if (points.all.is_cpu()) {
    add_rows(all, result.clusters, points.all, distances);
  } else {  // index_put_ sums in a fixed order on a GPU; index_add_ does not
    std::int64_t begin = 0;
    for (const auto& x : points.blocks) {
      const auto of_block = [&](const at::Tensor& t) { return t.narrow(0, begin, x.size(0)); };
      const auto ones = torch::ones({x.size(0), 1}, wide);
      const auto rows = at::cat({x.to(torch::kFloat64), ones, of_block(distances).unsqueeze(1)}, 1);
      all.index_put_({of_block(result.clusters)}, rows, /*accumulate=*/true);
      begin += x.size(0);
    }
  }
  group.all_reduce_sum(all);
  result.sums = all.narrow(1, 0, d);
  result.counts = all.select(1, d).contiguous();
  result.distance = all.select(1, d + 1).sum();
  return result;
}

/// Gives each empty cluster half of another one, and returns how many there were. All ranks draw the same random numbers.
std::int64_t split_empty(at::Tensor& centroids, const at::Tensor& counts, std::int64_t total, std::uint64_t seed,
                         int iteration) {
  const auto sizes_tensor = counts.cpu();
  std::vector<double> sizes(sizes_tensor.data_ptr<double>(), sizes_tensor.data_ptr<double>() + sizes_tensor.size(0));
  const auto k = static_cast<std::int64_t>(sizes.size());
  auto signs = torch::ones({centroids.size(1)}, centroids.options());
  signs.slice(0, 1, std::nullopt, 2).fill_(-1);
  std::int64_t split = 0;
  augment::Random random(augment::ViewKey{seed, static_cast<std::uint64_t>(iteration), 0, 0});
  for (std::int64_t empty = 0; empty < k; ++empty) {
    if (sizes[static_cast<std::size_t>(empty)] > 0) continue;
    // As faiss: go round the clusters and accept one with probability (size - 1) / (points - K), so never one of a single point.
    std::int64_t from = 0;
    while (random.uniform() * static_cast<double>(total - k) >= sizes[static_cast<std::size_t>(from)] - 1)
      from = (from + 1) % k;
    auto half = centroids[from];
    centroids[empty].copy_(half * (1 + kSplit * signs));
    half.mul_(1 - kSplit * signs);
    auto &given = sizes[static_cast<std::size_t>(from)], &taken = sizes[static_cast<std::size_t>(empty)];
    taken = std::floor(given / 2);
    given -= taken;
    ++split;
  }
  return split;
}

void check(const KmeansOptions& options) {
  if (options.clusters < 1) throw UsageError("k-means makes at least 1 cluster, not ", options.clusters);
  if (options.iterations < 0) throw UsageError("k-means cannot make ", options.iterations, " iterations");
  if (options.empty_action != "split" && options.empty_action != "keep")
    throw UsageError("empty clusters: '", options.empty_action, "' is not known: use split or keep");
}

}  // namespace

KmeansResult kmeans(const at::Tensor& points, const KmeansOptions& options, const Group& group,
                    const at::Tensor& first) {
  const torch::NoGradGuard no_grad;
  check(options);
  UNLABEL_INVARIANT(points.dim() == 2 && points.scalar_type() == torch::kFloat32);
  const RankPartition partition(points.size(0), group);
  const auto k = options.clusters;
  if (partition.total < k) throw UsageError(k, " clusters of ", partition.total, " points: give fewer clusters");
  const auto x = points.contiguous();
  auto centroids = first.defined() ? first.to(x.options()).clone() : first_centroids(x, options, partition, group);
  UNLABEL_INVARIANT(centroids.size(0) == k && centroids.size(1) == x.size(1));
  const Points own(x, options.spherical);

  KmeansResult result;
  std::vector<at::Tensor>
      distances;  // copied to the host at the end only, so that the host does not wait for a GPU earlier (but to split)
  for (int iteration = 0;; ++iteration) {
    auto now = assign(own, centroids, options.spherical, group);
    distances.push_back(now.distance);
    const auto empty = now.counts == 0;
    if (iteration == options.iterations) {
      result.assignments = now.clusters;
      result.empty_clusters = empty.sum().item<std::int64_t>();
      break;
    }
    // Update, in float64; an empty cluster keeps its centroid, until it is split.
    auto updated = now.sums.div_(now.counts.clamp_min(1).unsqueeze(1));
    updated = at::where(empty.unsqueeze(1), centroids.to(torch::kFloat64), updated);
    if (options.empty_action == "split" && partition.total > k)
      result.splits += split_empty(updated, now.counts, partition.total, options.seed, iteration);
    if (options.spherical) updated.div_(updated.norm(2, 1, /*keepdim=*/true).clamp_min(1e-12));
    centroids = updated.to(centroids.scalar_type());
  }
  result.centroids = centroids;
  const auto sums = at::stack(distances).cpu();
  for (std::int64_t i = 0; i < sums.size(0); ++i)
    result.objective.push_back(sums[i].item<double>() / static_cast<double>(partition.total));
  return result;
}

double normalized_mutual_information(const at::Tensor& a, const at::Tensor& b) {
  UNLABEL_INVARIANT(a.sizes() == b.sizes() && a.dim() == 1);
  const auto known = a.ge(0).logical_and(b.ge(0)).cpu();
  const auto x = a.cpu().masked_select(known), y = b.cpu().masked_select(known);
  if (x.numel() == 0) return 0;
  const auto columns = y.max().item<std::int64_t>() + 1;
  const auto entropy = [&](const at::Tensor& labels) {
    const auto p = labels.bincount().to(torch::kFloat64) / static_cast<double>(x.numel());
    return -at::xlogy(p, p).sum().item<double>();
  };
  // Number only the pairs that occur: the full contingency table may be large.
  const auto pairs = std::get<1>(at::_unique(x * columns + y, /*sorted=*/true, /*return_inverse=*/true));
  const double first = entropy(x), second = entropy(y), both = entropy(pairs);
  if (first <= 0 || second <= 0) return 0;
  return std::clamp((first + second - both) / std::sqrt(first * second), 0.0, 1.0);
}

}  // namespace unlabel::ssl
