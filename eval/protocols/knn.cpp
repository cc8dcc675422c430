#include <unlabel/augment/error.h>
#include <unlabel/eval/features.h>
#include <unlabel/eval/protocols/knn.h>
#include <unlabel/eval/report/report.h>
#include <unlabel/ssl/group.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <tuple>
#include <utility>

namespace unlabel::eval {
namespace {

constexpr std::int64_t kQueryBlock = 1024;
constexpr double kLowestTemperature = 1e-300;  // differences of similarities, divided by it, are still finite
constexpr std::int64_t kKeyBlock = 16384;      // 64 MB of similarities at a time

/// What the command line may change of a protocol.
struct KnnOverrides {
  std::optional<std::int64_t> k;
  std::optional<double> temperature;
};

OptionTable table(KnnOverrides& o) {
  OptionTable t;
  t.add("k", o.k, "neighbors that vote, instead of the protocol's");
  t.add("temperature", o.temperature, "of the votes, instead of the protocol's");
  return t;
}

// Rows scaled to unit length; rows of zeros remain zeros.
at::Tensor l2_normalize(const at::Tensor& rows) {
  if (rows.numel() == 0) return rows;
  // Squares of very large or small features would be infinite or 0: such rows are first scaled by a power of two, which is exact.
  constexpr double kLarge = 0x1p50;
  const auto largest = rows.abs().amax(1, /*keepdim=*/true);
  const auto extreme = largest.gt(kLarge) | (largest.lt(1 / kLarge) & largest.gt(0));
  const auto units = [](const at::Tensor& x) { return x / x.norm(2, 1, /*keepdim=*/true).clamp_min(1e-12); };
  if (!extreme.any().item<bool>()) return units(rows);
  const auto exponent = std::get<1>(at::frexp(largest)).clamp(-120, 120);
  return units(rows * at::pow(2.0, (-exponent).to(rows.scalar_type())));
}

// Sorted by similarity, equal ones by position: stable, and the input comes in the order of positions.
Neighbors sorted(const at::Tensor& similarity, const at::Tensor& index, std::int64_t k) {
  const auto [values, order] = similarity.sort(/*stable=*/true, /*dim=*/1, /*descending=*/true);
  return {values.narrow(1, 0, k), index.gather(1, order).narrow(1, 0, k)};
}

// topk does not say which of several similarities equal to the k-th it takes; rows where that matters are sorted in full.
Neighbors block_nearest(const at::Tensor& similarity, std::int64_t k) {
  const auto columns = similarity.size(1);
  k = std::min(k, columns);
  auto index = std::get<1>(similarity.topk(k, 1, /*largest=*/true, /*sorted=*/false));
  index = std::get<0>(index.sort(1));
  auto found = sorted(similarity.gather(1, index), index, k);
  if (k == columns) return found;
  const auto edge = found.similarity.select(1, k - 1).unsqueeze(1);
  const auto tied = (similarity.ge(edge).sum(1) > k).nonzero().flatten();
  if (tied.size(0) > 0) {
    const auto rows = similarity.index_select(0, tied);
    const auto positions = torch::arange(columns, index.options()).expand_as(rows);
    const auto exact = sorted(rows, positions, k);
    found.similarity = found.similarity.index_copy(0, tied, exact.similarity);
    found.index = found.index.index_copy(0, tied, exact.index);
  }
  return found;
}

Neighbors nearest_units(const at::Tensor& queries, const at::Tensor& keys, std::int64_t k) {
  Neighbors best;
  for (std::int64_t begin = 0; begin < keys.size(0); begin += kKeyBlock) {
    const auto block = keys.narrow(0, begin, std::min(kKeyBlock, keys.size(0) - begin));
    auto found = block_nearest(queries.mm(block.t()), k);
    found.index = found.index + begin;
    if (!best.index.defined()) {
      best = found;
      continue;
    }
    const auto similarity = torch::cat({best.similarity, found.similarity}, 1);
    best = sorted(similarity, torch::cat({best.index, found.index}, 1), std::min(k, similarity.size(1)));
  }
  return best;
}

}  // namespace

void require_valid(const KnnOptions& options) {
  if (options.k < 1) throw UsageError("k of kNN must be at least 1, not ", options.k);
  if (!(options.temperature >= kLowestTemperature && options.temperature <= 1 / kLowestTemperature))
    throw UsageError("the temperature of kNN must be from ", kLowestTemperature, " to ", 1 / kLowestTemperature,
                     ", not ", options.temperature);
}

Neighbors nearest(const at::Tensor& queries, const at::Tensor& keys, std::int64_t k) {
  if (k < 1 || k > keys.size(0))
    throw UsageError("k is ", k, " and must be from 1 to the ", keys.size(0), " rows there are");
  const torch::NoGradGuard no_grad;
  const auto unit_keys = l2_normalize(keys);
  std::vector<at::Tensor> similarity, index;
  for (std::int64_t begin = 0; begin < queries.size(0); begin += kQueryBlock) {
    const auto block = queries.narrow(0, begin, std::min(kQueryBlock, queries.size(0) - begin));
    const auto found = nearest_units(l2_normalize(block), unit_keys, k);
    similarity.push_back(found.similarity);
    index.push_back(found.index);
  }
  if (similarity.empty())
    return {torch::empty({0, k}, keys.options()), torch::empty({0, k}, keys.options().dtype(torch::kInt64))};
  return {torch::cat(similarity), torch::cat(index)};
}

KnnResult knn(const Features& train, const Features& test, const KnnOptions& options, const ssl::Group& group) {
  const auto started = std::chrono::steady_clock::now();
  require_valid(options);
  const auto device = parse_device(options.device);
  require_valid(train, test);

  const torch::NoGradGuard no_grad;
  const auto targets = make_targets(train, test);
  KnnResult result;
  result.set_sizes(targets);
  result.skipped = train.skipped + test.skipped;
  result.k_asked = options.k;
  result.k = std::min(options.k, result.train_images);
  result.temperature = options.temperature;

  const RankRange range(result.test_images, group);
  TopKCounts hits;
  // A rank that has too little memory must not leave the others waiting for its counts.
  ssl::run_on_all_ranks(group, [&] {
    const auto train_class = targets.train.to(device);
    const auto target = targets.test.to(device);
    const auto keys = l2_normalize(train.values.to(device));
    for (auto row = range.begin; row < range.end; row += kQueryBlock) {
      const auto rows = std::min(kQueryBlock, range.end - row);
      const auto found = nearest_units(l2_normalize(test.values.narrow(0, row, rows).to(device)), keys, result.k);
      const auto similarity = found.similarity.to(torch::kFloat64);
      const auto voted = train_class.index_select(0, found.index.flatten()).view_as(found.index);
      // log v_c = s_c / T + log sum_i exp((s_i - s_c) / T) with s_c the largest similarity of the class; the largest of the row is
      // subtracted for all classes. The sum lies between 1 and k whatever T is. Its terms are rounded to float32 and summed in float64,
      // which is exact, so that the order of the neighbors does not decide between classes of equal votes.
      const auto vote = (similarity - similarity.narrow(1, 0, 1)) / result.temperature;
      const auto best = torch::full({rows, result.classes}, -INFINITY, vote.options())
                            .scatter_reduce(1, voted, vote, "amax", /*include_self=*/true);
      const auto term = (vote - best.gather(1, voted)).exp().to(torch::kFloat32).to(torch::kFloat64);
      const auto sum = torch::zeros_like(best).scatter_add_(1, voted, term);
      const auto scores = best + sum.log();
      auto counts = count_top_k(scores, target.narrow(0, row, rows));
      auto by_order = tied_rows(scores);
      // All neighbors equally near: only the order of the training images chose them, perhaps among more of that similarity.
      if (result.k > 1) by_order |= similarity.select(1, 0).eq(similarity.select(1, result.k - 1));
      counts.tied = by_order.sum().item<std::int64_t>();
      hits += counts;
    }
  });
  auto counts = torch::tensor({hits.top1, hits.top5, hits.tied}, torch::kInt64).to(device);
  group.all_reduce_sum(counts);
  counts = counts.cpu();
  const auto* sums = counts.const_data_ptr<std::int64_t>();
  result.set_counts({sums[0], sums[1], sums[2]});
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return result;
}

Report report(const KnnResult& result) {
  const bool lowered = result.k < result.k_asked;
  auto report = classification_report(
      "knn_accuracy", "kNN",
      concat("k ", result.k, lowered ? concat(" of ", result.k_asked, ", as there are no more training images") : "",
             ", T ", result.temperature),
      result);
  report.json["k"] = result.k;
  report.json["k_asked"] = result.k_asked;
  report.json["temperature"] = result.temperature;
  if (lowered)
    report.warnings.push_back(
        concat("k is ", result.k, " and not ", result.k_asked, ", as there are no more training images"));
  return report;
}

ProtocolSpec knn_protocol(const std::string& name, std::int64_t k, double temperature, const std::string& source) {
  ProtocolSpec spec{"knn", name, concat("k ", k, ", temperature ", temperature, " (", source, ")"), /*section=*/""};
  spec.options = AnyOptions(KnnOverrides());
  const auto options_of = [k, temperature](const AnyOptions& given) {
    const auto& overrides = given.get<KnnOverrides>();
    return KnnOptions{overrides.k.value_or(k), overrides.temperature.value_or(temperature)};
  };
  spec.check = [options_of](const AnyOptions& given) { require_valid(options_of(given)); };
  spec.run_on_features = [=](const AnyOptions& given, const Features& train, const Features& test,
                             const ProtocolContext& context) {
    auto options = options_of(given);
    options.device = context.features.device;
    auto result = knn(train, test, options, context.group);
    if (options.k == k && options.temperature == temperature) result.protocol = name;
    return report(result);
  };
  return spec;
}

}  // namespace unlabel::eval
