#pragma once

#include <unlabel/ssl/layers/queue.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/models/heads.h>

#include <cstdint>
#include <memory>

namespace unlabel::ssl {

/// The defaults are MoCo v2's for ImageNet.
struct MocoOptions {
  std::int64_t hidden_dim = 2048;  ///< hidden layer of the projector: as wide as the features; 0: one linear layer (v1)
  std::int64_t projection_dim = 128;  ///< dimensions of the embedding
  double temperature = 0.2;           ///< of the softmax over similarities (v1: 0.07)
  double momentum = 0.999;            ///< of the key network
  std::int64_t queue_length = 65536;  ///< keys of past batches, over the whole world: the negatives
  std::int64_t norm_group = 32;       ///< images that the key network normalizes together
};
OptionTable table(MocoOptions& options);

/// MoCo: momentum contrast (He et al. 2020, arXiv:1911.05722), with the improved baselines of v2 (Chen et al. 2020,
/// arXiv:2003.04297), as its released code has it.
///
/// A sample gives two views: a query q of the first by the network that learns, and a key k of the second by a slow copy of it, |q| =
/// |k| = 1. The query has to find its key among the keys of past batches (eq. 1):
///
///     loss = mean over samples of  - log ( exp(q . k / T) / (exp(q . k / T) + sum_j exp(q . queue_j / T)) )
///
/// Then the world's keys join the queue, whose oldest leave; at the start it holds random unit vectors. After each update,
/// key <- momentum key + (1 - momentum) query, for its parameters; its running statistics are the query network's.
///
/// - The key network must not see in its batch statistics which query belongs to which key. So the world's batch is shuffled by (seed,
///   iteration, micro-step), and each run of `norm_group` images of the shuffled order is normalized by itself, on one rank or on
///   several: N ranks equal one. (The released code normalizes the images of a GPU together, 32 of 256 on eight, in both
///   networks.) All ranks' second views are gathered for it, as in the released code. The query network normalizes as the run says
///   (--batch-norm-images; the recipes have 32, which eight ranks come to exactly).
/// - The projector is Linear, ReLU, Linear, without BatchNorm.
/// - Similarities and loss are in float32 (or float64) even under autocast to 16 bits.
///
/// Views: exactly two of one size, such as preset `simclr` with its jitter halved and crops of .2 to 1. Names: `backbone.*`,
/// `projector.{0,2}.*`, `key_backbone.*`, `key_projector.*`, `queue.*`. Diagnostics: `contrast_accuracy`, the share of queries that
/// find their key. Chance has a loss of ln(queue_length + 1).
struct Moco : Method {
  /// `key_encoder`: another network like `encoder`, whose weights do not matter. Throws UsageError for an option out of
  /// range, and for groups that do not divide a batch among the ranks. Every rank must call it.
  Moco(const MocoOptions& options, const MethodContext& context)
      : Moco(make_image_encoder(context.encoder), make_image_encoder(context.encoder), options, context) {}
  Moco(std::shared_ptr<ImageEncoder> encoder, std::shared_ptr<ImageEncoder> key_encoder, const MocoOptions& options,
       const MethodContext& context);

  /// Throws UsageError unless there are two views.
  Loss loss(const Batch& batch, const Step& step) override;
  void check_views(const augment::MultiCrop& views) const override;
  void before_step(const Step& step) override;
  void after_step(const Step& step) override;
  std::string accumulation_note(std::int64_t samples) const override;
  std::vector<CollapseCheck> collapse_checks() const override;
  Encoder& encoder() override { return *backbone_; }

 private:
  void move_key_network(double momentum);
  at::Tensor keys(const at::Tensor& images, const Step& step);

  MocoOptions options_;
  std::uint64_t seed_;
  std::int64_t norm_group_;  ///< images that the key network normalizes together
  std::shared_ptr<const Group> group_;
  std::shared_ptr<ImageEncoder> backbone_, key_backbone_;
  Projector projector_{nullptr}, key_projector_{nullptr};
  std::shared_ptr<Queue> queue_;
};

}  // namespace unlabel::ssl
