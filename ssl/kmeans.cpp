#include <unlabel/augment/error.h>
#include <unlabel/augment/random.h>
#include <unlabel/data/sampler.h>
#include <unlabel/ssl/kmeans.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace unlabel::ssl {

namespace {

constexpr std::int64_t kBlock = 4096;  ///< points at once
constexpr double kSplit = 1.0 / 1024;

/// How many points each rank has, and where this rank's begin.
struct Shares {
  std::vector<std::int64_t> counts;
  std::int64_t begin = 0, total = 0;

  Shares(std::int64_t own, const Group& group) {
    const auto all =
        group.all_gather(torch::full({1}, own, torch::TensorOptions(torch::kInt64).device(group.device()))).cpu();
    for (int rank = 0; rank < group.world_size(); ++rank) {
      counts.push_back(all[rank].item<std::int64_t>());
      if (rank < group.rank()) begin += counts.back();
      total += counts.back();
    }
  }
};

/// Rows of the world's points, by their place in rank order, on every rank.
at::Tensor take_rows(const at::Tensor& points, const std::vector<std::int64_t>& places, const Shares& shares,
                     const Group& group) {
  auto rows = torch::zeros({static_cast<std::int64_t>(places.size()), points.size(1)}, points.options());
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto own = places[i] - shares.begin;
    if (own >= 0 && own < points.size(0)) rows[static_cast<std::int64_t>(i)].copy_(points[own]);
  }
  group.all_reduce_sum(rows);
  return rows;
}

at::Tensor first_centroids(const at::Tensor& points, const KmeansOptions& options, const Shares& shares,
                           const Group& group) {
  const auto among = options.first_of_lead ? shares.counts[0] : shares.total;
  if (among < options.clusters)
    throw UsageError(options.clusters, " clusters of ", among, options.first_of_lead ? " points of rank 0" : " points",
                     ": give fewer clusters");
  const data::Permutation order(static_cast<std::uint64_t>(among), options.seed, 0);
  std::vector<std::int64_t> places(static_cast<std::size_t>(options.clusters));
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = static_cast<std::int64_t>(order(i));
  return take_rows(points, places, shares, group);
}

/// What one look at all points gives.
struct Assigned {
  at::Tensor clusters;  ///< n, int64
  at::Tensor sums;      ///< K x d, float64, of the world
  at::Tensor counts;    ///< K, float64, of the world
  double objective = 0;
};

/// sums[cluster_i] += (x_i, 1, far_i). A loop of its own: at::index_add_ takes longer than the matrix product before it.
void add_rows(at::Tensor& sums, const at::Tensor& clusters, const at::Tensor& points, const at::Tensor& far) {
  const auto d = points.size(1);
  const auto* cluster = clusters.const_data_ptr<std::int64_t>();
  const auto* x = points.const_data_ptr<float>();
  const auto* distance = far.const_data_ptr<double>();
  auto* all = sums.mutable_data_ptr<double>();
  for (std::int64_t i = 0; i < points.size(0); ++i, x += d) {
    auto* sum = all + cluster[i] * (d + 2);
    for (std::int64_t j = 0; j < d; ++j) sum[j] += x[j];
    sum[d] += 1;
    sum[d + 1] += distance[i];
  }
}

Assigned assign(const at::Tensor& points, const at::Tensor& centroids, bool spherical, std::int64_t total,
                const Group& group) {
  const auto k = centroids.size(0), d = centroids.size(1);
  const auto wide = points.options().dtype(torch::kFloat64);
  Assigned result;
  result.clusters = torch::empty({points.size(0)}, points.options().dtype(torch::kInt64));
  // One tensor for one exchange: sums, counts, and the objective.
  auto all = torch::zeros({k, d + 2}, wide);
  const auto c = centroids.t().contiguous();
  const auto half_squares = centroids.square().sum(1) / 2;
  for (std::int64_t begin = 0; begin < points.size(0); begin += kBlock) {
    const auto x = points.narrow(0, begin, std::min(kBlock, points.size(0) - begin));
    // The nearest has the largest x . c - |c|^2 / 2.
    const auto score = spherical ? at::mm(x, c) : at::addmm(half_squares, x, c, /*beta=*/-1, /*alpha=*/1);
    const auto [best, cluster] = score.max(1);
    result.clusters.narrow(0, begin, x.size(0)).copy_(cluster);
    const auto far =
        spherical ? 1 - best.to(torch::kFloat64) : x.square().sum(1).to(torch::kFloat64) - 2 * best.to(torch::kFloat64);
    if (points.is_cpu()) {
      add_rows(all, cluster, x, far);
    } else {  // index_put_ sums in a fixed order on a GPU too, where index_add_ does not
      const auto rows = at::cat({x.to(torch::kFloat64), torch::ones({x.size(0), 1}, wide), far.unsqueeze(1)}, 1);
      all.index_put_({cluster}, rows, /*accumulate=*/true);
    }
  }
  group.all_reduce_sum(all);
  result.sums = all.narrow(1, 0, d);
  result.counts = all.select(1, d).contiguous();
  result.objective = all.select(1, d + 1).sum().item<double>() / static_cast<double>(total);
  return result;
}

/// Gives each empty cluster half of another one. All ranks draw the same.
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
  if (options.empty != "split" && options.empty != "keep")
    throw UsageError("empty clusters: '", options.empty, "' is not known: use split or keep");
}

}  // namespace

KmeansResult kmeans(const at::Tensor& points, const KmeansOptions& options, const Group& group,
                    const at::Tensor& first) {
  const torch::NoGradGuard no_grad;
  check(options);
  UNLABEL_INVARIANT(points.dim() == 2 && points.scalar_type() == torch::kFloat32);
  const Shares shares(points.size(0), group);
  const auto k = options.clusters;
  if (shares.total < k) throw UsageError(k, " clusters of ", shares.total, " points: give fewer clusters");
  const auto x = points.contiguous();
  auto centroids = first.defined() ? first.to(x.options()).clone() : first_centroids(x, options, shares, group);
  UNLABEL_INVARIANT(centroids.size(0) == k && centroids.size(1) == x.size(1));

  KmeansResult result;
  for (int iteration = 0;; ++iteration) {
    auto now = assign(x, centroids, options.spherical, shares.total, group);
    result.objective.push_back(now.objective);
    const auto filled = now.counts > 0;
    if (iteration == options.iterations) {
      result.assignments = now.clusters;
      result.empty = k - filled.sum().item<std::int64_t>();
      break;
    }
    auto updated =
        at::where(filled.unsqueeze(1), now.sums / now.counts.clamp_min(1).unsqueeze(1), centroids.to(torch::kFloat64));
    if (options.empty == "split" && shares.total > k)
      result.split += split_empty(updated, now.counts, shares.total, options.seed, iteration);
    if (options.spherical) updated = updated / updated.norm(2, 1, /*keepdim=*/true).clamp_min(1e-12);
    centroids = updated.to(centroids.scalar_type());
  }
  result.centroids = centroids;
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
  // Pairs that occur, numbered densely: the whole table may be large.
  const auto pairs = std::get<1>(at::_unique(x * columns + y, /*sorted=*/true, /*return_inverse=*/true));
  const double first = entropy(x), second = entropy(y), both = entropy(pairs);
  if (first <= 0 || second <= 0) return 0;
  return std::clamp((first + second - both) / std::sqrt(first * second), 0.0, 1.0);
}

}  // namespace unlabel::ssl
