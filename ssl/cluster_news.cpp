#include <unlabel/ssl/cluster_news.h>
#include <unlabel/ssl/kmeans.h>

#include <torch/types.h>

namespace unlabel::ssl {

void add_mutual_information(Diagnostics& news, const at::Tensor& before, const at::Tensor& clusters,
                            const Epoch& epoch) {
  const auto now = clusters.cpu();
  const auto add = [&](const char* name, const at::Tensor& other) {
    news.emplace_back(name, torch::tensor(normalized_mutual_information(other, now), torch::kFloat64));
  };
  if (before.defined()) add("nmi_before", before.cpu());
  if (epoch.dataset == nullptr || epoch.dataset->class_names().empty()) return;
  auto labels = torch::empty({clusters.size(0)}, torch::kInt64);
  for (std::int64_t i = 0; i < labels.size(0); ++i) labels.data_ptr<std::int64_t>()[i] = epoch.dataset->label(i);
  add("nmi_labels", labels);
}

}  // namespace unlabel::ssl
