#pragma once

#include <unlabel/ssl/layers/queue.h>
#include <unlabel/ssl/losses/sinkhorn.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/models/heads.h>

#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <memory>

namespace unlabel::ssl {

/// The defaults are the paper's for ImageNet with a global batch of 4096.
struct SwavOptions {
  std::int64_t crops_for_assign = 2;  ///< A: the targets are the assignments of the first A crops, which must be global
  double temperature = 0.1;           ///< of the softmax of the predictions
  double epsilon = 0.05;              ///< SinkhornOptions::epsilon
  int sinkhorn_iterations = 3;        ///< SinkhornOptions::iterations
  std::int64_t prototypes = 3000;     ///< K
  std::int64_t projection_dim = 128;  ///< dimensions of the embedding
  std::int64_t hidden_dim = 2048;     ///< hidden layer of the projection head; 0: a single linear layer
  std::int64_t freeze_prototypes_iterations = 313;  ///< the prototypes are not trained before this iteration
  bool whole_batch_sinkhorn = false;  ///< with gradient accumulation: one Sinkhorn over all micro-batches of an update
  std::int64_t queue_length =
      0;  ///< embeddings of earlier batches for each of the A crops, over all ranks; 0: no queue
  std::int64_t queue_start_epoch = 15;  ///< the queue begins to fill at this epoch, from 0
};
OptionTable table(SwavOptions& options);

/// SwAV: unsupervised learning of visual features by contrasting cluster assignments (Caron et al. 2020, arXiv:2006.09882), following its
/// released code.
///
/// V crops are made of each sample, the first A of them global. Each has an embedding z_v = head(backbone(crop_v)), |z_v| = 1, and scores
/// z_v . c_k with K prototypes, |c_k| = 1. All other crops of the sample have to predict the assignment q_i of a global crop, which
/// Sinkhorn computes over the batch of all ranks, without gradient ("swapped prediction", eqs. 1, 2 and 6):
///
///     p_v = softmax over k of z_v . c_k / temperature
///     loss = 1/A sum_{i < A}  1/(V - 1) sum_{v != i}  mean over samples of  - sum_k q_ik log p_vk
///
/// - Consecutive crops of equal size share a forward pass of the backbone, so BatchNorm statistics are taken over crops of one size. The
///   features of all crops share one forward pass of the head.
/// - `before_step` normalizes the prototypes. `before_update` drops their gradient before iteration `freeze_prototypes_iterations`, so that
///   neither weight decay nor momentum changes them.
/// - Queue: once it is full, Sinkhorn also gets the scores of the queued embeddings with the *current* prototypes; their assignments are
///   discarded. Its length is rounded down to a multiple of the global batch (less than one batch: no queue).
/// - Embeddings, scores, Sinkhorn and loss are in float32 (or float64), also under autocast to 16 bits.
/// - Gradient accumulation: Sinkhorn runs on each micro-batch (of all ranks) separately, which differs from one large batch. Use a
///   micro-batch that is large compared with K, or the queue, which holds the last micro-batches; or `whole_batch_sinkhorn`, which first
///   computes the embeddings of all micro-batches in an additional forward pass and runs Sinkhorn on all of them (BatchNorm statistics
///   remain those of micro-batches).
///
/// Names: `backbone.*`, `projection_head.{0,1,3}.*`, `prototypes.weight`, and with a queue `queue.embeddings` and `queue.filled`.
///
/// Diagnostics, over the micro-batch of all ranks:
/// - `assignment_entropy`: (mean over samples of the entropy of q) / ln K. 1 means that every sample is assigned to all prototypes equally:
///   collapse.
/// - `mean_assignment_entropy`: (entropy of the mean of q over samples) / ln K. 1 means that all prototypes are used equally.
/// - `prototypes_used`: number of prototypes that have the largest q of some sample.
/// - `queue_full`: 0 or 1; only with a queue.
///
/// The loss of a collapsed run stays at ln K.
struct Swav : Method {
  /// `global_batch`: samples in one iteration, over all ranks and micro-batches. Throws UsageError for an option out of range.
  Swav(const SwavOptions& options, const MethodContext& context)
      : Swav(make_image_encoder(context.encoder), options, context.global_batch, context.group) {}
  Swav(std::shared_ptr<ImageEncoder> encoder, SwavOptions options, std::int64_t global_batch,
       std::shared_ptr<const Group> group);

  /// Throws UsageError when there are fewer than two crops, or fewer than `crops_for_assign`.
  Loss loss(const Batch& batch, const Step& step) override;
  void check_views(const augment::MultiCrop& views) const override;
  std::vector<CollapseCheck> collapse_checks() const override;
  void before_step(const Step& step) override;
  void before_micro_batches(const std::function<Batch(int)>& micro_batch, const Step& step) override;
  std::string accumulation_note(std::int64_t samples) const override;
  void before_update(const Step& step) override;
  Encoder& encoder() override { return *backbone_; }

  const SwavOptions& options() const { return options_; }
  /// Length of the queue after rounding; 0: no queue.
  std::int64_t queue_length() const { return queue_ ? queue_->length() : 0; }

 private:
  at::Tensor embed(const std::vector<at::Tensor>& crops);
  at::Tensor score(const at::Tensor& embeddings);
  /// False while so few steps were made that the queue cannot be full; then there is no need to ask it.
  bool queue_may_be_full(const Step& step) const;
  at::Tensor assign_and_enqueue(const at::Tensor& embeddings, const at::Tensor& scores, const Step& step);

  SwavOptions options_;
  std::int64_t global_batch_;
  std::shared_ptr<const Group> group_;
  std::shared_ptr<ImageEncoder> backbone_;
  Projector projection_head_{nullptr};
  torch::nn::Linear prototypes_{nullptr};
  std::shared_ptr<Queue> queue_;
  at::Tensor
      assignments_;  ///< whole_batch_sinkhorn: A x samples x K, from before_micro_batches until the last micro-batch used them
};

}  // namespace unlabel::ssl
