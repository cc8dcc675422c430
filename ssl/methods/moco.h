#pragma once

#include <unlabel/ssl/layers/queue.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/models/heads.h>

#include <cstdint>
#include <memory>

namespace unlabel::ssl {

/// The defaults are MoCo v2's for ImageNet.
struct MocoOptions {
  std::int64_t hidden_dim =
      2048;  ///< hidden layer of the projector (v2: as wide as the features); 0: one linear layer (v1)
  std::int64_t projection_dim = 128;  ///< dimensions of the embedding
  double temperature = 0.2;           ///< of the softmax over similarities (v1: 0.07)
  double momentum = 0.999;            ///< momentum of the key network
  std::int64_t queue_length = 65536;  ///< number of negatives: keys of past batches, over all ranks
  std::int64_t norm_group = 32;       ///< images that share BatchNorm statistics in the key network
};
OptionTable table(MocoOptions& options);

/// MoCo: momentum contrast (He et al. 2020, arXiv:1911.05722), with the improved baselines of v2 (Chen et al. 2020,
/// arXiv:2003.04297), following its released code.
///
/// Each sample has two views. The query network computes q from the first; the key network, a moving average of the query network, computes
/// k from the second; |q| = |k| = 1. The query has to identify its key among the keys of past batches (eq. 1):
///
///     loss = mean over samples of  - log ( exp(q . k / T) / (exp(q . k / T) + sum_j exp(q . queue_j / T)) )
///
/// Then the keys of all ranks replace the oldest ones in the queue, which at first holds random unit vectors. After each update,
/// key <- momentum key + (1 - momentum) query for the parameters (eq. 2); the key network's running statistics are copies of the query
/// network's (the released code keeps its own; training does not use them).
///
/// - Shuffled BatchNorm (MoCo, section 3.3): batch statistics must not reveal which key belongs to which query. So the second views of all
///   ranks are gathered, as in the released code, and shuffled by (seed, iteration, micro-step); then each `norm_group` consecutive images
///   are normalized together, on one rank or on several, so that the result does not depend on the number of ranks. (The released code
///   normalizes the images of each GPU together, 32 of 256 on eight GPUs, in both networks.) In the query network --batch-norm-images
///   decides; the recipes have 32, which equals the released code on eight ranks.
/// - The projector is Linear, ReLU, Linear, without BatchNorm.
/// - Similarities and loss are in float32 (or float64), also under autocast to 16 bits.
///
/// Views: exactly two of equal size, such as preset `simclr` with half the color jitter and crops of 0.2 to 1 of the area. Names:
/// `backbone.*`, `projector.{0,2}.*`, `key_backbone.*`, `key_projector.*`, `queue.*`. Diagnostics: `contrast_accuracy`, the share of
/// queries whose most similar key is their own. The loss of equal similarities is ln(queue_length + 1).
struct Moco : Method {
  /// `key_encoder`: another network of the same architecture, whose weights are overwritten. Throws UsageError for an option out of range,
  /// and unless `norm_group` divides a rank's images of a forward pass or is a multiple of them. Collective: every rank must call it.
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
  std::int64_t norm_group_;  ///< options_.norm_group, at most the images of a forward pass of all ranks
  std::shared_ptr<const Group> group_;
  std::shared_ptr<ImageEncoder> backbone_, key_backbone_;
  Projector projector_{nullptr}, key_projector_{nullptr};
  std::shared_ptr<Queue> queue_;
};

}  // namespace unlabel::ssl
