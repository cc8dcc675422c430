#pragma once

#include <unlabel/ssl/method.h>
#include <unlabel/ssl/models/heads.h>

#include <cstdint>
#include <memory>

namespace unlabel::ssl {

/// The defaults are the paper's for 1000 epochs of ImageNet.
struct ByolOptions {
  std::int64_t hidden_dim = 4096;     ///< hidden layer of projector and predictor
  std::int64_t projection_dim = 256;  ///< dimensions of the embedding
  double base_momentum = 0.996;       ///< momentum of the target network at the start; it rises to 1
  bool predictor = true;              ///< false: no predictor, with which BYOL collapses
  bool head_norm = true;  ///< BatchNorm in projector and predictor; false: none, with which little is learned
};
OptionTable table(ByolOptions& options);

/// BYOL: bootstrap your own latent (Grill et al. 2020, arXiv:2006.07733), following its released code.
///
/// An online network (backbone f, projector g, predictor q) gets one view of an image and predicts the output of a target network (f', g'),
/// a moving average of the online one, for the other view. The loss sums both directions (eq. 2):
///
///     p_v = q(g(f(view_v))),  z_v = g'(f'(view_v)) without gradient,  v = 1, 2
///     loss = mean over samples of  | p_1/|p_1| - z_2/|z_2| |^2  +  | p_2/|p_2| - z_1/|z_1| |^2        (in [0, 8])
///
/// After each update of the online network, target <- tau target + (1 - tau) online for the parameters, where tau rises from
/// `base_momentum` to 1 along a cosine over the run (ema.h). With gradient accumulation this too happens once per update.
///
/// - Each view has a forward pass of its own, so BatchNorm statistics are taken over one kind of view. The target network uses the batch
///   statistics of its own forward passes and has its own running statistics.
/// - Projector and predictor are Linear with bias, BatchNorm, ReLU, Linear without bias.
/// - Deviation: the target network starts as a copy of the online one. The released code initializes it with other random numbers; its
///   authors saw no difference.
/// - Norms and loss are computed in float32 (or float64), also under autocast to 16 bits; |x|^2 is at least 1e-12.
///
/// Views: exactly two of equal size, such as preset `byol`. The paper trains with LARS and `exclude_bias_and_norm`.
///
/// Names: `backbone.*`, `projector.{0,1,3}.*`, `predictor.{0,1,3}.*`, `target_backbone.*`, `target_projector.*`.
struct Byol : Method {
  /// `target_encoder`: another network of the same architecture, whose weights are overwritten. Throws UsageError for an option out of
  /// range.
  Byol(const ByolOptions& options, const MethodContext& context);
  Byol(std::shared_ptr<ImageEncoder> encoder, std::shared_ptr<ImageEncoder> target_encoder, const ByolOptions& options);

  /// Throws UsageError unless there are two views.
  Loss loss(const Batch& batch, const Step& step) override;
  void check_views(const augment::MultiCrop& views) const override;
  void before_step(const Step& step) override;
  void after_step(const Step& step) override;
  std::vector<CollapseCheck> collapse_checks() const override;
  Encoder& encoder() override { return *backbone_; }

 private:
  void move_target(double momentum);

  ByolOptions options_;
  std::shared_ptr<ImageEncoder> backbone_, target_backbone_;
  Projector projector_{nullptr}, predictor_{nullptr}, target_projector_{nullptr};
};

}  // namespace unlabel::ssl
