#pragma once

#include <unlabel/ssl/layers/queue.h>
#include <unlabel/ssl/losses/sinkhorn.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/models/heads.h>

#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <memory>

namespace unlabel::ssl {

/// The defaults are the paper's for ImageNet with a batch of 4096.
struct SwavOptions {
  std::int64_t crops_for_assign = 2;                ///< the first crops of a sample, the global ones, give the targets
  double temperature = 0.1;                         ///< of the softmax of the predictions
  double epsilon = 0.05;                            ///< SinkhornOptions::epsilon
  int sinkhorn_iterations = 3;                      ///< SinkhornOptions::iterations
  std::int64_t prototypes = 3000;                   ///< K
  std::int64_t projection_dim = 128;                ///< dimensions of the embedding
  std::int64_t hidden_dim = 2048;                   ///< hidden layer of the projection head; 0: a single linear layer
  std::int64_t freeze_prototypes_iterations = 313;  ///< the prototypes do not learn before this iteration
  bool whole_batch_sinkhorn = false;                ///< with accumulation: over all micro-batches of an update
  std::int64_t queue_length = 0;        ///< embeddings kept, over the whole world, for small batches; 0: no queue
  std::int64_t queue_start_epoch = 15;  ///< the queue begins to fill at this epoch
};
OptionTable table(SwavOptions& options);

/// SwAV: unsupervised learning by contrasting cluster assignments (Caron et al. 2020, arXiv:2006.09882), as its
/// released code has it.
///
/// A sample gives V crops, the first A of them global. Each has an embedding z_v = head(backbone(crop_v)), |z_v| = 1,
/// and scores z_v . c_k against K prototypes |c_k| = 1. A global crop's assignment q_i (Sinkhorn over the world's
/// batch, without gradient) is what all other crops of the sample have to predict ("swapped prediction", eqs. 1, 2
/// and 6):
///
///     p_v = softmax(z_v . C / temperature)
///     loss = 1/A sum_{i < A}  1/(V - 1) sum_{v != i}  mean over samples of  - sum_k q_ik log p_vk
///
/// - Consecutive crops of one size share a forward pass of the backbone, so batch statistics are those of one size; the
///   features of all crops share one pass of the head.
/// - `before_step` normalizes the prototypes; `before_update` drops their gradient until
///   `freeze_prototypes_iterations`, so that neither weight decay nor momentum touches them.
/// - With a queue, once it is full, the scores of the queued embeddings with the *current* prototypes join the batch in
///   Sinkhorn, and their assignments are thrown away. Its length is rounded down to a multiple of the global batch
///   (below one batch: no queue).
/// - Embeddings, scores, Sinkhorn and loss are in float32 (or float64) even under autocast to 16 bits.
/// - With accumulation, Sinkhorn spreads each micro-batch (of all ranks) over the prototypes by itself. That is not the
///   same as one large batch: keep a micro-batch large against K, or use the queue, which is pushed in order and holds
///   several of them; or `whole_batch_sinkhorn`, which first takes the embeddings of all micro-batches, in a forward pass more,
///   and spreads them together, as if there were one batch (its statistics stay those of micro-batches).
///
/// Names: `backbone.*`, `projection_head.{0,1,3}.*`, `prototypes.weight`, and with a queue `queue.embeddings` and
/// `queue.filled`.
///
/// Diagnostics, all over the world's micro-batch once averaged over ranks: `assignment_entropy`, the mean entropy of q
/// over ln K (1: every sample belongs to all prototypes alike, so the network has collapsed);
/// `mean_assignment_entropy`, the entropy of the mean q over ln K (1: all prototypes are used alike);
/// `prototypes_used`, how many are some sample's first choice; `queue_full`, 0 or 1. A collapsed run's loss stays at
/// ln K.
struct Swav : Method {
  /// `global_batch`: samples an iteration, over all ranks and micro-batches. Throws UsageError for an option out of
  /// range.
  Swav(const SwavOptions& options, const MethodContext& context)
      : Swav(make_image_encoder(context.encoder), options, context.global_batch, context.group) {}
  Swav(std::shared_ptr<ImageEncoder> encoder, SwavOptions options, std::int64_t global_batch,
       std::shared_ptr<const Group> group);

  /// Throws UsageError when there are fewer than two crops, or fewer than `crops_for_assign`.
  Loss loss(const Batch& batch, const Step& step) override;
  void check_views(const augment::MultiCrop& views) const override;
  std::vector<CollapseCheck> collapse_checks() const override;
  void before_step(const Step& step) override;
  void before_micro_steps(const std::function<Batch(int)>& micro_batch, const Step& step) override;
  std::string accumulation_note(std::int64_t samples) const override;
  void before_update(const Step& step) override;
  Encoder& encoder() override { return *backbone_; }

  const SwavOptions& options() const { return options_; }
  /// After rounding; 0: no queue.
  std::int64_t queue_length() const { return queue_ ? queue_->length() : 0; }

 private:
  at::Tensor embed(const std::vector<at::Tensor>& crops);
  at::Tensor score(const at::Tensor& embeddings);
  bool queue_may_be_full(const Step& step) const;
  at::Tensor assign(const at::Tensor& embeddings, const at::Tensor& scores, const Step& step);

  SwavOptions options_;
  std::int64_t global_batch_;
  std::shared_ptr<const Group> group_;
  std::shared_ptr<ImageEncoder> backbone_;
  Projector projection_head_{nullptr};
  torch::nn::Linear prototypes_{nullptr};
  std::shared_ptr<Queue> queue_;
  at::Tensor assignments_;  ///< of a whole batch, while its micro-batches are under way
};

}  // namespace unlabel::ssl
