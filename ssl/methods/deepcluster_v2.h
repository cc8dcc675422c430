#pragma once

#include <unlabel/ssl/clustering/kmeans.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/models/heads.h>

#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace unlabel::ssl {

/// The defaults are those published for 800 epochs of ImageNet.
struct DeepClusterV2Options {
  std::vector<std::int64_t> prototypes{3000, 3000, 3000};  ///< K of each head
  std::int64_t crops_for_assign = 2;                       ///< the first crops, the global ones: a memory bank each
  double temperature = 0.1;                                ///< of the softmax of the predictions
  std::int64_t projection_dim = 128;                       ///< dimensions of the embedding
  std::int64_t hidden_dim = 2048;  ///< hidden layer of the projection head; 0: a single linear layer
  int kmeans_iterations = 10;      ///< updates of the centroids in each clustering
  std::int64_t freeze_prototypes_iterations = 300000;  ///< the prototypes do not learn before this iteration
  bool as_released = false;  ///< the first centroids are embeddings of rank 0, not of all ranks
};
OptionTable table(DeepClusterV2Options& options);

/// DeepCluster-v2: clustering and classifying in turn, with SwAV's network and crops (Caron et al. 2020, arXiv:2006.09882, appendix D), as
/// its released code has it.
///
/// Memory banks hold an embedding z = head(backbone(crop)), |z| = 1, of each sample for each of the A global crops, as training
/// last saw it. Before each epoch, for each head h, spherical k-means over the world's bank h mod A (kmeans.h) gives every sample in it
/// a cluster, and the head its prototypes, the centroids. During the epoch all V crops of a sample have to predict its clusters:
///
///     loss = 1/H sum_h  mean over crops and samples of  - log softmax(z . C_h / temperature)[cluster_h(sample)]
///
/// - A bank has a row for each place in an epoch, N/B whole batches of them; samples whose embedding is in no row (those that the last
///   epoch dropped) have no cluster, and count for nothing. The mean is over the samples of the world that have one.
/// - Before the first epoch, one pass in training mode without gradient, crop by crop, fills the banks, with views of its own (as the
///   released code's, whose loader draws anew for each pass).
/// - Samples of a step that was left out as not finite have no cluster in the next epoch.
/// - `before_update` drops the prototypes' gradient until `freeze_prototypes_iterations` (in the published runs to the end).
/// - A cluster that is empty keeps its centroid. The first centroids are K embeddings drawn from all ranks'; with `as_released` from
///   rank 0's, so that the outcome depends on the number of ranks.
/// - Embeddings, scores and loss are in float32 (or float64) even under autocast to 16 bits; k-means is in float32.
///
/// Names: `backbone.*`, `projection_head.{0,1,3}.*`, `prototypes.prototypes{0,1,...}.weight`. The data's state: `bank` (A x rows x dim, in
/// the order of the epoch), `bank_samples` (rows; -1: nobody's), `clusters` (H x N; -100: none).
///
/// Diagnostics: `cluster_accuracy`, the share of crops whose first head predicts their cluster. With an epoch's first step:
/// `kmeans_objective`, `empty_clusters` (of all heads), `nmi_before` (of the first head's clusters with those of the epoch before; not
/// for the first) and `nmi_labels` (with the labels, where there are any).
struct DeepClusterV2 : Method {
  /// Throws UsageError for an option out of range, and for more prototypes than a bank has rows.
  DeepClusterV2(const DeepClusterV2Options& options, const MethodContext& context)
      : DeepClusterV2(make_image_encoder(context.encoder), options, context) {}
  DeepClusterV2(std::shared_ptr<ImageEncoder> encoder, const DeepClusterV2Options& options,
                const MethodContext& context);

  /// Throws UsageError when there are fewer than two crops, or fewer than `crops_for_assign`.
  Loss loss(const Batch& batch, const Step& step) override;
  void check_views(const augment::MultiCrop& views) const override;
  Diagnostics before_epoch(const Epoch& epoch) override;
  void before_step(const Step& step) override;
  void before_update(const Step& step) override;
  void after_step(const Step& step) override;
  std::vector<std::pair<std::string, at::Tensor>> per_sample_state() override;
  std::int64_t per_sample_state_bytes() const override;
  void load_per_sample_state(const std::vector<std::pair<std::string, at::Tensor>>& state) override;
  std::vector<CollapseCheck> collapse_checks() const override;
  Encoder& encoder() override { return *backbone_; }

 private:
  at::Tensor embed(const std::vector<at::Tensor>& crops);
  void move_data_state();
  void fill_banks(const Epoch& epoch);
  Diagnostics cluster(const Epoch& epoch);
  at::Tensor first_centroids(const at::Tensor& points, const KmeansOptions& options) const;
  void remember(std::int64_t first_row, const at::Tensor& embeddings, const at::Tensor& samples,
                const at::Tensor& stands);

  DeepClusterV2Options options_;
  MethodContext context_;
  std::shared_ptr<const Group> group_;
  std::int64_t steps_ = 0, local_batch_ = 0;  ///< of an epoch; samples of this rank in a batch
  std::shared_ptr<ImageEncoder> backbone_;
  Projector projection_head_{nullptr};
  std::vector<torch::nn::Linear> heads_;

  // This rank's rows, step by step; on the device of training.
  at::Tensor bank_;          ///< A x (steps * local batch) x dim, float32
  at::Tensor bank_samples_;  ///< (steps * local batch), int64
  at::Tensor clusters_;      ///< H x N, int64, the same on every rank

  struct Seen {
    at::Tensor embeddings, samples;
  };
  std::vector<Seen> seen_;  ///< this step's micro-batches
};

}  // namespace unlabel::ssl
