#pragma once

#include <unlabel/ssl/method.h>
#include <unlabel/ssl/models/heads.h>

#include <cstdint>
#include <memory>

namespace unlabel::ssl {

/// The defaults are the paper's for ResNet-50 on ImageNet.
struct SimclrOptions {
  std::int64_t hidden_dim = 2048;     ///< hidden layer of the projector: as wide as the features
  std::int64_t projection_dim = 128;  ///< dimensions of the embedding
  double temperature = 0.1;           ///< of the softmax over similarities
};
OptionTable table(SimclrOptions& options);

/// SimCLR: a simple framework for contrastive learning (Chen et al. 2020, arXiv:2002.05709), as its released code has it.
///
/// A sample gives two views; z = projector(backbone(view)), |z| = 1. With B samples in the world's batch, each of the 2B
/// embeddings has to find that of its sample's other view among the 2B - 1 others (eq. 1, NT-Xent):
///
///     loss = 2 * mean over the 2B embeddings i of  - log ( exp(z_i . z_p(i) / T) / sum_{j != i} exp(z_i . z_j / T) )
///
/// Negatives are those of all ranks, and gradients flow through them (gather.h). The factor 2 is the released code's, which adds up the
/// means of the two views; the paper has the mean over both.
///
/// - Both views share a forward pass, so batch statistics are over both.
/// - The projector is Linear, BatchNorm, ReLU, Linear without bias, BatchNorm without bias. (The first Linear has a bias that its
///   BatchNorm takes out again; the released code's has none.)
/// - Similarities and loss are in float32 (or float64) even under autocast to 16 bits.
/// - It was trained by LARS with `lr_in_momentum` (optimizer.h).
/// - With accumulation, negatives are those of each micro-batch of all ranks: a smaller task than the whole batch's.
///
/// Views: exactly two of one size, such as preset `simclr`. Names: `backbone.*`, `projector.{0,1,3,4}.*`. Diagnostics:
/// `contrast_accuracy`, the share of embeddings that find their other view. Chance has a loss of 2 ln(2B - 1).
struct Simclr : Method {
  /// Throws UsageError for an option out of range.
  Simclr(const SimclrOptions& options, const MethodContext& context)
      : Simclr(make_image_encoder(context.encoder), options, context) {}
  Simclr(std::shared_ptr<ImageEncoder> encoder, const SimclrOptions& options, const MethodContext& context);

  /// Throws UsageError unless there are two views.
  Loss loss(const Batch& batch, const Step& step) override;
  void check_views(const augment::MultiCrop& views) const override;
  std::string accumulation_note(std::int64_t samples) const override;
  std::vector<CollapseCheck> collapse_checks() const override;
  Encoder& encoder() override { return *backbone_; }

 private:
  SimclrOptions options_;
  std::int64_t embeddings_;  ///< of the world, in one loss
  std::shared_ptr<const Group> group_;
  std::shared_ptr<ImageEncoder> backbone_;
  Projector projector_{nullptr};
};

}  // namespace unlabel::ssl
