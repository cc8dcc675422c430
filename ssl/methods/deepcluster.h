#pragma once

#include <unlabel/ssl/method.h>

#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace unlabel::ssl {

/// The defaults are the paper's for ImageNet.
struct DeepClusterOptions {
  std::int64_t clusters = 10000;   ///< K
  std::int64_t pca_dim = 256;      ///< dimensions that features are whitened to
  int kmeans_iterations = 20;      ///< updates of the centroids in each clustering
  std::string empty = "split";     ///< an empty cluster: split (as faiss) or keep, which collapses
  std::string sampling = "paper";  ///< paper: as often from each cluster; as_released: see below
  double top_layer_lr = 0.05;      ///< of the top layer, whatever the schedule says
};
OptionTable table(DeepClusterOptions& options);

/// DeepCluster (Caron et al. 2018, arXiv:1807.05520), as its released code has it.
///
/// Before each epoch the network, in evaluation mode, gives a feature of every image (central crop). Features are whitened to
/// `pca_dim` dimensions (whitening.h), scaled to length 1 and clustered by k-means (kmeans.h, in full). During the epoch the network, with
/// a new linear top layer, learns to tell the clusters apart (eq. 1 and 2):
///
///     loss = mean over samples of  - log softmax(W relu(backbone(x)) + b)[cluster(sample)]
///
/// - The top layer begins each epoch from N(0, 0.01^2) and bias 0, and has a plain rate of its own, `top_layer_lr`, without momentum:
///   with --optimizer.kind sgd, lars or larc that is SGD. (adamw keeps its moments from epoch to epoch.)
/// - Samples are drawn as often from each cluster that is not empty, N / K + 1 of each (with replacement from one that has no more),
///   shuffled: the paper's uniform distribution over clusters. `as_released` takes these numbers for places in the list of images
///   sorted by cluster, which the released code does by mistake, so that large clusters stay large.
/// - The order, the clusters and the top layers are functions of the seed and the epoch: every rank and every resume has the same.
///
/// Views: one, such as preset `deepcluster`; networks see edges with --encoder.sobel, as published. Names: `backbone.*`,
/// `top_layer.{weight,bias}`. The data's state: `clusters` (N).
///
/// Diagnostics: `cluster_accuracy`, the share of samples whose cluster is predicted; `clusters_used`, the share of the K clusters that
/// have a sample; `largest_cluster`, the share of the samples in it. With an epoch's first step: `kmeans_objective`, `clusters_split`,
/// `nmi_before` (with the clusters of the epoch before) and `nmi_labels` (with the labels, where there are any).
struct DeepCluster : Method {
  /// Throws UsageError for an option out of range, and for more clusters than images.
  DeepCluster(const DeepClusterOptions& options, const MethodContext& context)
      : DeepCluster(make_image_encoder(context.encoder), options, context) {}
  DeepCluster(std::shared_ptr<ImageEncoder> encoder, const DeepClusterOptions& options, const MethodContext& context);

  Loss loss(const Batch& batch, const Step& step) override;
  void check_views(const augment::MultiCrop& views) const override;
  Diagnostics before_epoch(const Epoch& epoch) override;
  std::optional<std::vector<std::int64_t>> order(const Epoch& epoch) override;
  std::vector<ParameterGroup> parameter_groups() override;
  std::vector<std::pair<std::string, at::Tensor>> per_sample_state() override;
  std::int64_t per_sample_state_bytes() const override;
  void load_per_sample_state(const std::vector<std::pair<std::string, at::Tensor>>& state) override;
  std::vector<CollapseCheck> collapse_checks() const override;
  Encoder& encoder() override { return *backbone_; }

 private:
  struct Share;
  Share share() const;
  at::Tensor features(const Epoch& epoch);
  void reset_top_layer(std::int64_t epoch);
  void take_clusters(const at::Tensor& clusters);

  DeepClusterOptions options_;
  MethodContext context_;
  std::shared_ptr<const Group> group_;
  std::shared_ptr<ImageEncoder> backbone_;
  torch::nn::Linear top_layer_{nullptr};
  at::Tensor clusters_;         ///< N, int64, on the CPU; -1 before the first clustering
  at::Tensor device_clusters_;  ///< the same where training is
  double used_ = 0;             ///< share of the clusters that have a sample
  double largest_ = 0;          ///< share of the samples in the largest cluster
};

}  // namespace unlabel::ssl
