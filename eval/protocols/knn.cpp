#include <unlabel/augment/error.h>
#include <unlabel/eval/encode.h>
#include <unlabel/eval/protocols/knn.h>
#include <unlabel/eval/targets.h>
#include <unlabel/ssl/group.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <tuple>
#include <utility>

namespace unlabel::eval {
namespace {

constexpr std::int64_t kQueryBlock = 1024;
constexpr double kLowestTemperature = 1e-300;  // differences of similarities, divided by it, are still finite
constexpr std::int64_t kKeyBlock = 16384;      // 64 MB of similarities at a time

struct Protocol {
  const char* name;
  std::int64_t k;
  double temperature;
};
constexpr Protocol kProtocols[] = {{"dino", 20, 0.07}, {"instdisc", 200, 0.07}, {"lightly", 200, 0.1}};

const Protocol& find_protocol(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& protocol : kProtocols) {
    if (name == protocol.name) return protocol;
    names.emplace_back(protocol.name);
  }
  throw UsageError("kNN protocol '", name, "' is not known", did_you_mean(name, names),
                   ": use dino (k 20, T .07), instdisc (k 200, T .07) or lightly (k 200, T .1)");
}

// Rows of zeros stay so.
at::Tensor l2_normalize(const at::Tensor& rows) {
  if (rows.numel() == 0) return rows;
  // Squares of very large or small features would be infinite or 0: such rows are brought near 1 by powers of two, which keep every bit.
  constexpr double kLarge = 0x1p50;
  const auto largest = rows.abs().amax(1, /*keepdim=*/true);
  const auto extreme = largest.gt(kLarge) | (largest.lt(1 / kLarge) & largest.gt(0));
  const auto units = [](const at::Tensor& x) { return x / x.norm(2, 1, /*keepdim=*/true).clamp_min(1e-12); };
  if (!extreme.any().item<bool>()) return units(rows);
  const auto exponent = std::get<1>(at::frexp(largest)).clamp(-120, 120);
  return units(rows * at::pow(2.0, (-exponent).to(rows.scalar_type())));
}

// Sorted by similarity, equal ones by position: stable, and the input comes in the order of positions.
Neighbours sorted(const at::Tensor& similarity, const at::Tensor& index, std::int64_t k) {
  const auto [values, order] = similarity.sort(/*stable=*/true, /*dim=*/1, /*descending=*/true);
  return {values.narrow(1, 0, k), index.gather(1, order).narrow(1, 0, k)};
}

// topk leaves open which of several equal similarities at the edge it takes; rows where that matters are sorted in
// full.
Neighbours block_nearest(const at::Tensor& similarity, std::int64_t k) {
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

Neighbours nearest_units(const at::Tensor& queries, const at::Tensor& keys, std::int64_t k) {
  Neighbours best;
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

OptionTable table(KnnOptions& o) {
  OptionTable t;
  t.add("protocol", o.protocol, "dino (k 20, T .07), instdisc (k 200, T .07) or lightly (k 200, T .1)");
  t.add("k", o.k, "neighbors that vote, instead of the protocol's");
  t.add("temperature", o.temperature, "of the votes, instead of the protocol's");
  t.add("device", o.device, "cpu, cuda or cuda:N");
  return t;
}

void require_valid(const KnnOptions& options) {
  const auto& protocol = find_protocol(options.protocol);
  const auto k = options.k.value_or(protocol.k);
  const auto temperature = options.temperature.value_or(protocol.temperature);
  if (k < 1) throw UsageError("k of kNN must be at least 1, not ", k);
  if (!(temperature >= kLowestTemperature && temperature <= 1 / kLowestTemperature))
    throw UsageError("the temperature of kNN must be from ", kLowestTemperature, " to ", 1 / kLowestTemperature,
                     ", not ", temperature);
}

Neighbours nearest(const at::Tensor& queries, const at::Tensor& keys, std::int64_t k) {
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
  const auto& protocol = find_protocol(options.protocol);
  KnnResult result;
  result.k_asked = options.k.value_or(protocol.k);
  result.temperature = options.temperature.value_or(protocol.temperature);
  result.protocol =
      result.k_asked == protocol.k && result.temperature == protocol.temperature ? protocol.name : "custom";
  const auto device = parse_device(options.device);
  require_labeled(train, test);

  const torch::NoGradGuard no_grad;
  result.train_images = train.size();
  result.test_images = test.size();
  result.skipped = train.skipped + test.skipped;
  result.k = std::min(result.k_asked, result.train_images);

  const auto targets = make_targets(train, test);
  result.classes = targets.classes();
  result.unknown = targets.unknown;

  const auto each = (result.test_images + group.world_size() - 1) / group.world_size();
  const auto begin = std::min(result.test_images, each * group.rank());
  const auto end = std::min(result.test_images, begin + each);
  TopKCounts hits;
  std::int64_t tied = 0;
  // A rank that has too little memory must not leave the others waiting for its counts.
  ssl::run_on_all_ranks(group, [&] {
    const auto train_class = targets.train.to(device);
    const auto target = targets.test.to(device);
    const auto keys = l2_normalize(train.values.to(device));
    for (auto row = begin; row < end; row += kQueryBlock) {
      const auto rows = std::min(kQueryBlock, end - row);
      const auto found = nearest_units(l2_normalize(test.values.narrow(0, row, rows).to(device)), keys, result.k);
      const auto similarity = found.similarity.to(torch::kFloat64);
      const auto voted = train_class.index_select(0, found.index.flatten()).view_as(found.index);
      // log v_c = (s_c + log sum_i exp((s_i - s_c) / T)) with s_c the largest similarity of the class, up to one number for all classes:
      // the sum lies between 1 and k whatever T is. Its terms are rounded to float32 and summed in float64, which is exact, so that the
      // order of the neighbors does not decide between classes that are equal.
      const auto vote = (similarity - similarity.narrow(1, 0, 1)) / result.temperature;
      const auto best = torch::full({rows, result.classes}, -INFINITY, vote.options())
                            .scatter_reduce(1, voted, vote, "amax", /*include_self=*/true);
      const auto term = (vote - best.gather(1, voted)).exp().to(torch::kFloat32).to(torch::kFloat64);
      const auto sum = torch::zeros_like(best).scatter_add_(1, voted, term);
      const auto scores = best + sum.log();
      hits += count_top_k(scores, target.narrow(0, row, rows));
      auto by_order = tied_rows(scores);
      // All neighbors equally near, and none farther to be told from them: the order of the training images chose them.
      if (result.k > 1) by_order |= similarity.select(1, 0).eq(similarity.select(1, result.k - 1));
      tied += by_order.sum().item<std::int64_t>();
    }
  });
  auto counts = torch::tensor({hits.top1, hits.top5, tied}, torch::kInt64).to(device);
  group.all_reduce_sum(counts);
  counts = counts.cpu();
  result.accuracy = counts[0].item<double>() / double(result.test_images);
  if (result.classes > 5) result.accuracy_top5 = counts[1].item<double>() / double(result.test_images);
  result.tied = counts[2].item<std::int64_t>();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return result;
}

}  // namespace unlabel::eval
