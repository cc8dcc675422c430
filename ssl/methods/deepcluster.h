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
  std::int64_t clusters = 10000;  ///< K
  std::int64_t pca_dim = 256;     ///< dimensions of the features after PCA whitening
  int kmeans_iterations = 20;     ///< updates of the centroids in each clustering
  std::string empty =
      "split";  ///< KmeansOptions::empty_action: split (as in faiss), or keep, with which training collapses
  std::string sampling = "paper";  ///< paper: the same number of samples from each cluster; as_released: see below
  double top_layer_lr = 0.05;      ///< constant learning rate of the top layer
};
OptionTable table(DeepClusterOptions& options);

/// DeepCluster (Caron et al. 2018, arXiv:1807.05520), following its released code.
///
/// Before each epoch the backbone, in evaluation mode, computes the feature of every image (resized, central crop). Features are whitened
/// to `pca_dim` dimensions (whitening.h), L2-normalized, and clustered by k-means (kmeans.h, over all N images; eq. 2). During the epoch
/// the backbone with a new linear top layer is trained to classify samples by their cluster (eq. 1):
///
///     loss = mean over samples of  - log softmax(W relu(backbone(x)) + b)[cluster(sample)]
///
/// - Each epoch the top layer is initialized anew: weights N(0, 0.01^2), bias 0. It is trained with the constant learning rate
/// `top_layer_lr` without momentum and without LARS or LARC adaptation: plain SGD with --optimizer.kind sgd, lars or larc. (With adamw its
///   moments are kept from epoch to epoch.)
/// - An epoch has N samples, uniform over clusters as in the paper: N / (non-empty clusters) + 1 samples of each non-empty cluster (with
///   replacement if the cluster has no more than that), shuffled and cut to N. `as_released` reproduces a mistake of the released code: it
///   uses the drawn sample indices as positions in the list of images sorted by cluster, so that large clusters are still drawn more often.
/// - The order, the clusters and the initial top layers are functions of the seed, the epoch and the weights: equal on every rank and after
///   every resume.
///
/// Views: one, such as preset `deepcluster`. As published, the input is edges (--encoder.sobel). Names: `backbone.*`,
/// `top_layer.{weight,bias}`. per_sample_state: `clusters` (N, int64; -1 before the first clustering).
///
/// Diagnostics: `cluster_accuracy`, the share of samples whose cluster is predicted; `clusters_used`, the share of the K clusters that
/// have a sample; `largest_cluster`, the share of all samples that the largest cluster has. With the first step of an epoch:
/// `kmeans_objective` (kmeans.h), `clusters_split`, and the normalized mutual information `nmi_before` (with the clusters of the previous
/// epoch) and `nmi_labels` (with the labels, if there are any).
struct DeepCluster : Method {
  /// Throws UsageError for an option out of range, and for more clusters than images.
  DeepCluster(const DeepClusterOptions& options, const MethodContext& context)
      : DeepCluster(make_image_encoder(context.encoder), options, context) {}
  DeepCluster(std::shared_ptr<ImageEncoder> encoder, const DeepClusterOptions& options, const MethodContext& context);

  Loss loss(const Batch& batch, const Step& step) override;
  void check_views(const augment::MultiCrop& views) const override;
  Diagnostics before_epoch(const EpochContext& epoch) override;
  std::optional<std::vector<std::int64_t>> order(const EpochContext& epoch) override;
  std::vector<ParameterGroup> parameter_groups() override;
  std::vector<std::pair<std::string, at::Tensor>> per_sample_state() override;
  std::int64_t per_sample_state_bytes() const override;
  void load_per_sample_state(const std::vector<std::pair<std::string, at::Tensor>>& state) override;
  std::vector<CollapseCheck> collapse_checks() const override;
  Encoder& encoder() override { return *backbone_; }

 private:
  struct Share;
  Share share() const;
  at::Tensor features(const EpochContext& epoch);
  void reset_top_layer(std::int64_t epoch);
  void set_clusters(const at::Tensor& clusters);

  DeepClusterOptions options_;
  MethodContext context_;
  std::shared_ptr<const Group> group_;
  std::shared_ptr<ImageEncoder> backbone_;
  torch::nn::Linear top_layer_{nullptr};
  at::Tensor clusters_;         ///< N, int64, on the CPU; -1 before the first clustering
  at::Tensor device_clusters_;  ///< a copy on the device of training
  double used_ = 0;             ///< share of the clusters that have a sample, in [0, 1]
  double largest_ = 0;          ///< share of the samples in the largest cluster, in [0, 1]
};

}  // namespace unlabel::ssl
