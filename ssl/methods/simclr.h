#pragma once

#include <unlabel/ssl/method.h>
#include <unlabel/ssl/models/heads.h>

#include <cstdint>
#include <memory>

namespace unlabel::ssl {

/// The defaults are the paper's for ResNet-50 on ImageNet.
struct SimclrOptions {
  std::int64_t hidden_dim = 2048;     ///< hidden layer of the projector (paper: as wide as the features)
  std::int64_t projection_dim = 128;  ///< dimensions of the embedding
  double temperature = 0.1;           ///< of the softmax over similarities
};
OptionTable table(SimclrOptions& options);

/// SimCLR: a simple framework for contrastive learning (Chen et al. 2020, arXiv:2002.05709), following its released code.
///
/// Each sample has two views with embeddings z = projector(backbone(view)), |z| = 1. With B samples in the batch of all ranks, each of the
/// 2B embeddings i has to identify the embedding p(i) of its sample's other view among the 2B - 1 others (eq. 1, NT-Xent):
///
///     loss = 2 * mean over the 2B embeddings i of  - log ( exp(z_i . z_p(i) / T) / sum_{j != i} exp(z_i . z_j / T) )
///
/// The negatives come from all ranks, and gradients flow through them (gather.h). The factor 2 is that of the released code, which adds the
/// means of the two views; the paper has the mean over all embeddings.
///
/// - Both views share one forward pass, so BatchNorm statistics are taken over both.
/// - The projector is Linear, BatchNorm, ReLU, Linear without bias, BatchNorm without bias. (Deviation: the first Linear has a bias, which
///   has no effect, because the BatchNorm after it subtracts it again; the released code has none.)
/// - Similarities and loss are in float32 (or float64), also under autocast to 16 bits.
/// - The paper trains with LARS and `lr_in_momentum` (optimizer.h).
/// - Gradient accumulation: the negatives are those of the same micro-batch (of all ranks), fewer than with the whole batch.
///
/// Views: exactly two of equal size, such as preset `simclr`. Names: `backbone.*`, `projector.{0,1,3,4}.*`. Diagnostics:
/// `contrast_accuracy`, the share of embeddings whose most similar embedding is that of the other view. The loss of equal similarities is
/// 2 ln(2B - 1).
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
  std::int64_t embeddings_;  ///< 2B: embeddings of all ranks in one loss
  std::shared_ptr<const Group> group_;
  std::shared_ptr<ImageEncoder> backbone_;
  Projector projector_{nullptr};
};

}  // namespace unlabel::ssl
