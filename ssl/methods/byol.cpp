#include <unlabel/augment/error.h>
#include <unlabel/ssl/layers/ema.h>
#include <unlabel/ssl/method_checks.h>
#include <unlabel/ssl/methods/byol.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

namespace unlabel::ssl {

OptionTable table(ByolOptions& options) {
  OptionTable t;
  t.add("hidden_dim", options.hidden_dim, "width of the hidden layer of projector and predictor (paper: 4096)");
  t.add("projection_dim", options.projection_dim, "dimensions of the embedding (paper: 256)");
  t.add(
      "base_momentum", options.base_momentum,
      "momentum of the target network at the start; it rises to 1 over the run (published: 0.99 for 300 epochs, 0.996 "
      "for 1000)");
  t.add("predictor", options.predictor, "use a predictor; without one the embeddings collapse");
  t.add("head_norm", options.head_norm, "BatchNorm in projector and predictor; without it little is learned");
  return t;
}

namespace {

/// A projector or predictor; they differ only in the dimensions of the input.
Projector head(std::int64_t in, const ByolOptions& options) {
  return Projector(ProjectorOptions{.in = in,
                                    .hidden = options.hidden_dim,
                                    .out = options.projection_dim,
                                    .last_bias = false,
                                    .hidden_norm = options.head_norm});
}

/// x / |x| of each row, with |x|^2 at least 1e-12, as in the released code (l2_normalize limits |x| instead).
at::Tensor normalized(const at::Tensor& x) { return x * x.square().sum(1, /*keepdim=*/true).clamp_min(1e-12).rsqrt(); }

/// Eq. 2 for each sample: n x d and n x d to n.
at::Tensor distance(const at::Tensor& p, const at::Tensor& z) {
  return (normalized(p) - normalized(z)).square().sum(1);
}

}  // namespace

Byol::Byol(const ByolOptions& options, const MethodContext& context)
    : Byol(make_image_encoder(context.encoder), make_image_encoder(context.encoder), options) {
  if (options.head_norm && context.local_micro_batch() * context.group->world_size() < 2)
    throw UsageError(
        "BYOL's heads normalize over the images of a forward pass, and there is only 1: give a larger ",
        context.micro_batch > 0 && context.micro_batch < context.global_batch ? "--micro-batch" : "--batch-size");
}

Byol::Byol(std::shared_ptr<ImageEncoder> encoder, std::shared_ptr<ImageEncoder> target_encoder,
           const ByolOptions& options)
    : options_(options) {
  require_positive("byol.hidden_dim", options_.hidden_dim);
  require_positive("byol.projection_dim", options_.projection_dim);
  if (!(options_.base_momentum >= 0 && options_.base_momentum <= 1))
    throw UsageError("byol.base_momentum is ", options_.base_momentum, ": it must be in [0, 1], such as 0.99");
  backbone_ = register_module("backbone", std::move(encoder));
  projector_ = register_module("projector", head(backbone_->feature_dim(), options_));
  if (options_.predictor) predictor_ = register_module("predictor", head(options_.projection_dim, options_));
  target_backbone_ = register_module("target_backbone", std::move(target_encoder));
  target_projector_ = register_module("target_projector", head(backbone_->feature_dim(), options_));
  freeze(*target_backbone_);
  freeze(*target_projector_);
}

void Byol::check_views(const augment::MultiCrop& views) const { require_two_views("BYOL", views); }

Loss Byol::loss(const Batch& batch, const Step&) {
  const auto views = batch.views();
  require_two_views("BYOL", views.size());
  // A forward pass of each network for each view, as in the released code: batch statistics are those of one view.
  at::Tensor projections[2], predictions[2], targets[2];
  for (int v = 0; v < 2; ++v) {
    projections[v] = projector_->forward(backbone_->forward(views[v]));
    predictions[v] = predictor_ ? predictor_->forward(projections[v]) : projections[v];
    const torch::NoGradGuard no_grad;
    targets[v] = target_projector_->forward(target_backbone_->forward(views[v]));
  }

  // No autocast from here on: differences of unit vectors are small.
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto type = at::promote_types(projections[0].scalar_type(), at::kFloat);
  for (auto* list : {predictions, targets})
    for (int v = 0; v < 2; ++v) list[v] = list[v].to(type);
  // Each view's prediction is compared with the target of the other view.
  Loss loss;
  loss.value = (distance(predictions[0], targets[1]) + distance(predictions[1], targets[0])).mean();
  loss.embeddings = projections[0].detach().to(type);
  return loss;
}

// Copies the online network to the target at the first step, and not in the constructor, because --init may have loaded weights in between.
void Byol::before_step(const Step& step) {
  if (step.iteration == 0) move_target(0);
}

void Byol::after_step(const Step& step) {
  move_target(cosine_momentum(options_.base_momentum, step.iteration, step.total_iterations));
}

void Byol::move_target(double momentum) {
  update_ema(*target_backbone_, *backbone_, momentum);
  update_ema(*target_projector_, *projector_, momentum);
}

// The limits were measured: docs/results.md.
std::vector<CollapseCheck> Byol::collapse_checks() const {
  return {
      {"feature_spread", 0.5, /*above=*/false, "embeddings of different images are very similar",
       "Use the predictor and --byol.head-norm; try a lower --optimizer.lr or a higher --byol.base-momentum"},
      {"effective_rank", rank_limit(5, options_.projection_dim), /*above=*/false, "embeddings lie along few directions",
       "Use the predictor and --byol.head-norm; try a lower --optimizer.lr or a larger --batch-size"}};
}

}  // namespace unlabel::ssl
