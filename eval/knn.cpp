#include <unlabel/augment/error.h>
#include <unlabel/eval/encode.h>
#include <unlabel/eval/knn.h>
#include <unlabel/eval/targets.h>
#include <unlabel/ssl/group.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>

namespace unlabel::eval {
namespace {

constexpr std::int64_t kQueryBlock = 1024;
constexpr std::int64_t kKeyBlock = 16384;  // 64 MB of similarities at a time

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

at::Tensor unit_rows(const at::Tensor& rows) { return rows / rows.norm(2, 1, /*keepdim=*/true).clamp_min(1e-12); }

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
  t.add("k", o.k, "neighbours that vote, instead of the protocol's");
  t.add("temperature", o.temperature, "of the votes, instead of the protocol's");
  t.add("device", o.device, "cpu, cuda or cuda:N");
  return t;
}

Neighbours nearest(const at::Tensor& queries, const at::Tensor& keys, std::int64_t k) {
  if (k < 1 || k > keys.size(0))
    throw UsageError("k is ", k, " and must be from 1 to the ", keys.size(0), " rows there are");
  const torch::NoGradGuard no_grad;
  const auto unit_keys = unit_rows(keys);
  std::vector<at::Tensor> similarity, index;
  for (std::int64_t begin = 0; begin < queries.size(0); begin += kQueryBlock) {
    const auto block = queries.narrow(0, begin, std::min(kQueryBlock, queries.size(0) - begin));
    const auto found = nearest_units(unit_rows(block), unit_keys, k);
    similarity.push_back(found.similarity);
    index.push_back(found.index);
  }
  if (similarity.empty())
    return {torch::empty({0, k}, keys.options()), torch::empty({0, k}, keys.options().dtype(torch::kInt64))};
  return {torch::cat(similarity), torch::cat(index)};
}

KnnResult knn(const Features& train, const Features& test, const KnnOptions& options, const ssl::Group& group) {
  const auto started = std::chrono::steady_clock::now();
  const auto& protocol = find_protocol(options.protocol);
  KnnResult result;
  result.k_asked = options.k.value_or(protocol.k);
  result.temperature = options.temperature.value_or(protocol.temperature);
  result.protocol =
      result.k_asked == protocol.k && result.temperature == protocol.temperature ? protocol.name : "custom";
  if (result.k_asked < 1) throw UsageError("k of kNN must be at least 1, not ", result.k_asked);
  if (!(result.temperature > 0)) throw UsageError("the temperature of kNN must be positive, not ", result.temperature);
  const auto device = parse_device(options.device);
  require_labelled(train, test);

  const torch::NoGradGuard no_grad;
  result.train_images = train.size();
  result.test_images = test.size();
  result.skipped = train.skipped + test.skipped;
  result.k = std::min(result.k_asked, result.train_images);

  const auto targets = make_targets(train, test);
  result.classes = targets.classes();
  const auto train_class = targets.train.to(device);
  const auto target = targets.test.to(device);

  const auto each = (result.test_images + group.world_size() - 1) / group.world_size();
  const auto begin = std::min(result.test_images, each * group.rank());
  const auto end = std::min(result.test_images, begin + each);
  const auto keys = unit_rows(train.values.to(device));
  Hits hits;
  for (auto row = begin; row < end; row += kQueryBlock) {
    const auto rows = std::min(kQueryBlock, end - row);
    const auto found = nearest_units(unit_rows(test.values.narrow(0, row, rows).to(device)), keys, result.k);
    const auto nearest_similarity = found.similarity.narrow(1, 0, 1);
    // Summed in float64, so that the order of the neighbours does not decide between classes that are equal.
    const auto weight = ((found.similarity - nearest_similarity) / result.temperature).exp().to(torch::kFloat64);
    const auto voted = train_class.index_select(0, found.index.flatten()).view_as(found.index);
    const auto votes = torch::zeros({rows, result.classes}, weight.options()).scatter_add_(1, voted, weight);
    hits += count_hits(votes, target.narrow(0, row, rows));
  }
  auto counts = torch::tensor({hits.top1, hits.top5}, torch::kInt64).to(device);
  group.all_reduce_sum(counts);
  counts = counts.cpu();
  result.accuracy = counts[0].item<double>() / double(result.test_images);
  if (result.classes > 5) result.accuracy_top5 = counts[1].item<double>() / double(result.test_images);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return result;
}

}  // namespace unlabel::eval
