#include <unlabel/augment/error.h>
#include <unlabel/augment/random.h>
#include <unlabel/augment/transforms/presets.h>
#include <unlabel/data/device_copy.h>
#include <unlabel/data/sampler.h>
#include <unlabel/ssl/clustering/clusterings.h>
#include <unlabel/ssl/clustering/kmeans.h>
#include <unlabel/ssl/clustering/whitening.h>
#include <unlabel/ssl/layers/eval_mode.h>
#include <unlabel/ssl/layers/l2_normalize.h>
#include <unlabel/ssl/method_checks.h>
#include <unlabel/ssl/methods/deepcluster.h>

#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <algorithm>

namespace unlabel::ssl {

OptionTable table(DeepClusterOptions& options) {
  OptionTable t;
  t.add("clusters", options.clusters, "number of clusters K (paper: 10000 for ImageNet)");
  t.add("pca_dim", options.pca_dim,
        "dimensions to which features are reduced by PCA whitening before k-means (paper: 256)");
  t.add("kmeans_iterations", options.kmeans_iterations, "k-means iterations of each clustering (released code: 20)");
  t.add("empty", options.empty,
        "empty clusters in k-means: split (they get half of a large one, as in faiss) or keep (training collapses)");
  t.add("sampling", options.sampling,
        "images of an epoch: paper (equally many from each cluster) or as_released (large clusters more often, as in "
        "the released code by mistake)");
  t.add("top_layer_lr", options.top_layer_lr,
        "constant learning rate of the top layer, which classifies images by cluster (paper: 0.05)");
  return t;
}

DeepCluster::DeepCluster(std::shared_ptr<ImageEncoder> encoder, const DeepClusterOptions& options,
                         const MethodContext& context)
    : options_(options), context_(context), group_(context.group) {
  if (options_.clusters < 2) throw UsageError("deepcluster.clusters is ", options_.clusters, ": it must be at least 2");
  require_positive("deepcluster.pca_dim", options_.pca_dim);
  require_positive("deepcluster.top_layer_lr", options_.top_layer_lr);
  if (options_.kmeans_iterations < 0)
    throw UsageError("deepcluster.kmeans_iterations is ", options_.kmeans_iterations, ": it must be at least 0");
  if (options_.empty != "split" && options_.empty != "keep")
    throw UsageError("deepcluster.empty is '", options_.empty, "': use split or keep");
  if (options_.sampling != "paper" && options_.sampling != "as_released")
    throw UsageError("deepcluster.sampling is '", options_.sampling, "': use paper or as_released");
  if (options_.clusters > context_.images)
    throw UsageError("deepcluster.clusters is ", options_.clusters, ", more than the ", context_.images,
                     " images: give fewer, such as ", std::max<std::int64_t>(2, context_.images / 100));
  require_positive("the batch", context_.global_batch);
  backbone_ = register_module("backbone", std::move(encoder));
  top_layer_ = register_module("top_layer", torch::nn::Linear(backbone_->feature_dim(), options_.clusters));
  set_clusters(torch::full({context_.images}, -1, torch::kInt64));
}

namespace {
void require_one_view(std::size_t views) {
  if (views != 1)
    throw UsageError("DeepCluster takes one view of each image, not ", views, ": give --augment.preset deepcluster");
}
}  // namespace

void DeepCluster::check_views(const augment::MultiCrop& views) const {
  require_one_view(static_cast<std::size_t>(views.views()));
}

Loss DeepCluster::loss(const Batch& batch, const Step&) {
  const auto views = batch.views();
  require_one_view(views.size());
  // The feature has no ReLU at its end, because it is clustered without; the top layer gets it with ReLU.
  const auto features = backbone_->forward(views[0]);
  const auto scores = top_layer_->forward(at::relu(features));

  // No autocast: the loss is in float32 or float64. The clusters are copied to the device once per epoch.
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  if (device_clusters_.device() != scores.device()) device_clusters_ = data::to_device(clusters_, scores.device());
  const auto wide = scores.to(at::promote_types(scores.scalar_type(), at::kFloat));
  const auto targets = device_clusters_.index_select(0, batch.indices.to(scores.device()));
  Loss loss;
  loss.value = at::cross_entropy_loss(wide, targets);
  const torch::NoGradGuard no_grad;
  loss.diagnostics = {{"cluster_accuracy", (wide.argmax(1) == targets).to(wide.scalar_type()).mean()},
                      {"clusters_used", torch::full({}, used_, wide.options())},
                      {"largest_cluster", torch::full({}, largest_, wide.options())}};
  loss.embeddings = features.detach().to(wide.scalar_type());
  return loss;
}

/// The images whose features this rank computes: `count` of them from index `begin`. `most` is the largest `count` of all ranks.
struct DeepCluster::Share {
  std::int64_t most, begin, count;
};

DeepCluster::Share DeepCluster::share() const {
  const auto most = (context_.images + group_->world_size() - 1) / group_->world_size();
  const auto begin = std::min(context_.images, most * group_->rank());
  return {most, begin, std::min(most, context_.images - begin)};
}

/// The features of this rank's share of the images, in the order of the data set: count x feature_dim, float32.
at::Tensor DeepCluster::features(const EpochContext& epoch) {
  const torch::NoGradGuard no_grad;
  const auto [most, begin, count] = share();
  std::vector<std::int64_t> samples;
  for (std::int64_t i = 0; i < most; ++i)
    samples.push_back(
        std::min(begin + i, context_.images - 1));  // padded, since EpochContext::read needs equally many on all ranks
  // One allocation into which batches are copied, and no concatenation of batches: on ImageNet the features take 21 GB.
  auto all = torch::empty({most, backbone_->feature_dim()}, top_layer_->weight.options().dtype(torch::kFloat32));
  std::int64_t row = 0;
  // The views of evaluation (resize and central crop), decoded as in training.
  const EvalModeGuard eval_mode(*backbone_);
  const auto& training = epoch.image_views();
  const data::ImageViews view(augment::evaluation_view(training.views()), training.decode());
  epoch.read(view, samples, context_.local_micro_batch(), [&](const Batch& batch) {
    const auto part = backbone_->forward(batch.views()[0]);
    all.narrow(0, row, part.size(0)).copy_(part);
    row += part.size(0);
  });
  UNLABEL_INVARIANT(row == most);
  return all.narrow(0, 0, count);
}

Diagnostics DeepCluster::before_epoch(const EpochContext& epoch) {
  const torch::NoGradGuard no_grad;
  const auto before = clusters_;
  // Features, whitened and normalized, then k-means over all ranks.
  auto points = features(epoch);
  const auto whiten = fit_whitening(points, std::min(options_.pca_dim, points.size(1)), *group_);
  points = l2_normalize(whiten(points));
  KmeansOptions options;
  options.clusters = options_.clusters;
  options.iterations = options_.kmeans_iterations;
  options.empty_action = options_.empty;
  options.seed = clustering_seed(context_.seed, epoch.epoch);
  const auto found = kmeans(points, options, *group_);

  const auto [most, begin, count] = share();
  auto own = torch::zeros({most}, found.assignments.options());  // padded, since all_gather needs equal lengths
  own.narrow(0, 0, count).copy_(found.assignments);
  set_clusters(group_->all_gather(own).narrow(0, 0, context_.images).cpu().clone());
  reset_top_layer(epoch.epoch);

  const auto value = [](double number) { return torch::tensor(number, torch::kFloat64); };
  Diagnostics diagnostics{{"kmeans_objective", value(found.objective.back())},
                          {"clusters_split", value(static_cast<double>(found.splits))}};
  add_mutual_information(diagnostics, before[0].item<std::int64_t>() >= 0 ? before : at::Tensor(), clusters_, epoch);
  return diagnostics;
}

void DeepCluster::set_clusters(const at::Tensor& clusters) {
  clusters_ = clusters;
  device_clusters_ = clusters;
  // For the diagnostics: how many clusters are used, and how large the largest is.
  const auto sizes = clusters.clamp_min(0).bincount({}, options_.clusters);
  used_ = (sizes > 0).sum().item<double>() / static_cast<double>(options_.clusters);
  largest_ = sizes.max().item<double>() / static_cast<double>(context_.images);
}

void DeepCluster::reset_top_layer(std::int64_t epoch) {
  // From a generator of its own, on the CPU, so that every rank, device and resume gets the same weights.
  auto generator = at::make_generator<at::CPUGeneratorImpl>(clustering_seed(context_.seed, epoch));
  const auto weight = torch::empty(top_layer_->weight.sizes(), torch::kFloat).normal_(0, 0.01, generator);
  top_layer_->weight.copy_(data::to_device(weight, top_layer_->weight.device()));
  group_->broadcast(top_layer_->weight);
  top_layer_->bias.zero_();
}

std::optional<std::vector<std::int64_t>> DeepCluster::order(const EpochContext& epoch) {
  // The samples of each non-empty cluster.
  std::vector<std::vector<std::int64_t>> members(static_cast<std::size_t>(options_.clusters));
  const auto* cluster = clusters_.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < context_.images; ++i) {
    UNLABEL_INVARIANT(cluster[i] >= 0);
    members[static_cast<std::size_t>(cluster[i])].push_back(i);
  }
  std::erase_if(members, [](const auto& list) { return list.empty(); });

  // Draw the same number from each: with replacement from a small cluster, else the first of a random permutation of it.
  const auto each = context_.images / static_cast<std::int64_t>(members.size()) + 1;
  std::vector<std::int64_t> drawn;
  for (std::size_t c = 0; c < members.size(); ++c) {
    const auto& list = members[c];
    const auto size = static_cast<std::int64_t>(list.size());
    augment::Random random({context_.seed, static_cast<std::uint64_t>(epoch.epoch), c, 0xDC});
    // A seed for each cluster: seed + c would give cluster c the order that a run with the next seed has for cluster c - 1.
    const data::Permutation without(list.size(), clustering_seed(context_.seed, static_cast<std::int64_t>(c)),
                                    static_cast<std::uint64_t>(epoch.epoch));
    for (std::int64_t i = 0; i < each; ++i)
      drawn.push_back(
          list[size <= each ? random.below(static_cast<std::uint32_t>(size)) : without(static_cast<std::uint64_t>(i))]);
  }
  // The released code's mistake: a drawn sample index is used as a position in the list sorted by cluster.
  if (options_.sampling == "as_released") {
    std::vector<std::int64_t> by_cluster;
    for (const auto& list : members) by_cluster.insert(by_cluster.end(), list.begin(), list.end());
    for (auto& sample : drawn) sample = by_cluster[static_cast<std::size_t>(sample)];
  }
  // Shuffle over clusters, and keep N samples.
  const data::Permutation shuffle(drawn.size(), context_.seed, static_cast<std::uint64_t>(epoch.epoch));
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i < context_.images; ++i) order.push_back(drawn[shuffle(static_cast<std::uint64_t>(i))]);
  return order;
}

std::vector<ParameterGroup> DeepCluster::parameter_groups() {
  // Two groups: the backbone with the run's settings, and the top layer with plain SGD.
  ParameterGroup network, top;
  for (const auto& item : named_parameters()) {
    auto& group = item.key().starts_with("top_layer.") ? top : network;
    group.names.push_back(item.key());
    group.parameters.push_back(item.value());
  }
  top.lr = options_.top_layer_lr;
  top.adapt = false;
  top.momentum = 0;
  return {network, top};
}

std::vector<std::pair<std::string, at::Tensor>> DeepCluster::per_sample_state() { return {{"clusters", clusters_}}; }

std::int64_t DeepCluster::per_sample_state_bytes() const { return static_cast<std::int64_t>(clusters_.nbytes()); }

void DeepCluster::load_per_sample_state(const std::vector<std::pair<std::string, at::Tensor>>& state) {
  if (state.size() != 1 || state[0].first != "clusters" || !are_whole_numbers(state[0].second, -1, options_.clusters) ||
      state[0].second.sizes() != clusters_.sizes())
    throw MismatchError(
        "the checkpoint's clusters do not fit this run of DeepCluster: use the same data and settings, ",
        "or another --out");
  set_clusters(state[0].second.clone());
}

// The limits were measured: docs/results.md.
std::vector<CollapseCheck> DeepCluster::collapse_checks() const {
  return {{"feature_spread", 0.1, /*above=*/false, "different images get nearly the same features",
           "Try a lower --optimizer.lr or --deepcluster.top-layer-lr"},
          {"effective_rank", 2, /*above=*/false, "features lie along one or two directions",
           "Try a lower --optimizer.lr or --deepcluster.top-layer-lr"},
          {"clusters_used", 0.5, /*above=*/false, "more than half of the clusters are empty",
           "Use --deepcluster.empty split, or fewer --deepcluster.clusters"}};
}

}  // namespace unlabel::ssl
