#include <unlabel/ssl/clustering/clusterings.h>
#include <unlabel/ssl/clustering/kmeans.h>

#include <torch/types.h>

namespace unlabel::ssl {

std::uint64_t clustering_seed(std::uint64_t seed, std::int64_t round) {
  // SplitMix64: a step of the golden ratio, then its mixing function.
  std::uint64_t z = seed + (static_cast<std::uint64_t>(round) + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

bool are_whole_numbers(const at::Tensor& values, std::int64_t low, std::int64_t high) {
  return values.scalar_type() == torch::kInt64 && (values.numel() == 0 || (values.min().item<std::int64_t>() >= low &&
                                                                           values.max().item<std::int64_t>() < high));
}

void add_mutual_information(Diagnostics& diagnostics, const at::Tensor& before, const at::Tensor& clusters,
                            const EpochContext& epoch) {
  const auto now = clusters.cpu();
  const auto add = [&](const char* name, const at::Tensor& other) {
    diagnostics.emplace_back(name, torch::tensor(normalized_mutual_information(other, now), torch::kFloat64));
  };
  if (before.defined()) add("nmi_before", before.cpu());
  if (epoch.dataset == nullptr || epoch.dataset->class_names().empty()) return;
  auto labels = torch::empty({clusters.size(0)}, torch::kInt64);
  for (std::int64_t i = 0; i < labels.size(0); ++i) labels.data_ptr<std::int64_t>()[i] = epoch.dataset->label(i);
  add("nmi_labels", labels);
}

}  // namespace unlabel::ssl
