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
  std::int64_t crops_for_assign = 2;  ///< A: each of the first A crops, the global ones, has a memory bank
  double temperature = 0.1;           ///< of the softmax of the predictions
  std::int64_t projection_dim = 128;  ///< dimensions of the embedding
  std::int64_t hidden_dim = 2048;     ///< hidden layer of the projection head; 0: a single linear layer
  int kmeans_iterations = 10;         ///< updates of the centroids in each clustering
  std::int64_t freeze_prototypes_iterations =
      300000;                ///< the prototypes are not trained by gradient before this iteration
  bool as_released = false;  ///< choose the first centroids among the embeddings of rank 0 instead of all ranks
};
OptionTable table(DeepClusterV2Options& options);

/// DeepCluster-v2: clustering before each epoch, classification by cluster during it, with SwAV's network and crops (Caron et al. 2020,
/// arXiv:2006.09882, appendix D), following its released code.
///
/// A memory bank for each of the A global crops holds the embedding z = head(backbone(crop)), |z| = 1, that training computed last for each
/// sample. Before each epoch, for each of the H heads h, spherical k-means (kmeans.h) over bank h mod A of all ranks assigns a cluster to
/// each sample in the bank; its centroids become the head's prototypes C_h. During the epoch all V crops of a sample have to predict its
/// clusters:
///
///     loss = 1/H sum_h  mean over crops and samples of  - log softmax(z . C_h / temperature)[cluster_h(sample)]
///
/// - With N samples and a global batch of B, a bank has floor(N / B) * B rows, one for each position in an epoch. Samples without a row
/// (those that the previous epoch dropped) have no cluster and are ignored in the loss; the mean is over the samples of all ranks that have
///   one.
/// - Before the first epoch the banks are filled by one pass in training mode without gradient, crop by crop, with views that differ from
///   those of the epoch, as in the released code.
/// - Samples of a step that was skipped because it was not finite have no cluster in the next epoch.
/// - `before_update` drops the prototypes' gradient before iteration `freeze_prototypes_iterations` (in the published runs: always).
/// - An empty cluster keeps its centroid. The first centroids are K embeddings drawn from all ranks; with `as_released` from rank 0, as in
///   the released code, where the result depends on the number of ranks.
/// - Embeddings, scores and loss are in float32 (or float64), also under autocast to 16 bits; k-means is in float32.
///
/// Names: `backbone.*`, `projection_head.{0,1,3}.*`, `prototypes.prototypes{0,1,...}.weight`. per_sample_state: `bank` (A x rows x dim,
/// float32, in the order of the epoch), `bank_samples` (rows, int64: the sample of each row, -1 for none), `clusters` (H x N, int64; -100
/// for none).
///
/// Diagnostics: `cluster_accuracy`, the share of crops whose cluster the first head predicts. With the first step of an epoch:
/// `kmeans_objective` (of the first head), `empty_clusters` (sum over heads), and the normalized mutual information of the first head's
/// clusters, `nmi_before` (with those of the previous epoch; not in the first epoch) and `nmi_labels` (with the labels, if there are any).
struct DeepClusterV2 : Method {
  /// Throws UsageError for an option out of range, and for more prototypes than a bank has rows.
  DeepClusterV2(const DeepClusterV2Options& options, const MethodContext& context)
      : DeepClusterV2(make_image_encoder(context.encoder), options, context) {}
  DeepClusterV2(std::shared_ptr<ImageEncoder> encoder, const DeepClusterV2Options& options,
                const MethodContext& context);

  /// Throws UsageError when there are fewer than two crops, or fewer than `crops_for_assign`.
  Loss loss(const Batch& batch, const Step& step) override;
  void check_views(const augment::MultiCrop& views) const override;
  Diagnostics before_epoch(const EpochContext& epoch) override;
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
  void fill_banks(const EpochContext& epoch);
  Diagnostics cluster(const EpochContext& epoch);
  at::Tensor first_centroids(const at::Tensor& points, const KmeansOptions& options) const;
  void write_bank_rows(std::int64_t first_row, const at::Tensor& embeddings, const at::Tensor& samples,
                       const at::Tensor& update_applied);

  DeepClusterV2Options options_;
  MethodContext context_;
  std::shared_ptr<const Group> group_;
  std::int64_t steps_ = 0;        ///< iterations in one epoch
  std::int64_t local_batch_ = 0;  ///< samples of this rank in one iteration
  std::shared_ptr<ImageEncoder> backbone_;
  Projector projection_head_{nullptr};
  std::vector<torch::nn::Linear> heads_;

  // The banks' rows of this rank, in the order of its steps, on the device of training.
  at::Tensor bank_;          ///< A x (steps * local batch) x dim, float32
  at::Tensor bank_samples_;  ///< (steps * local batch), int64; -1: the row holds no sample's embedding
  at::Tensor clusters_;      ///< H x N, int64, the same on every rank; -100: the sample has no cluster

  struct PendingRows {
    at::Tensor embeddings, samples;  // A x n x dim and n, of one micro-batch
  };
  std::vector<PendingRows> pending_rows_;  ///< micro-batches of this step, until after_step writes them into the banks
};

}  // namespace unlabel::ssl
