#include <unlabel/augment/error.h>
#include <unlabel/ssl/layers/gather.h>
#include <unlabel/ssl/layers/l2_normalize.h>
#include <unlabel/ssl/losses/info_nce.h>
#include <unlabel/ssl/method_checks.h>
#include <unlabel/ssl/methods/simclr.h>

#include <torch/types.h>

#include <cmath>
#include <limits>

namespace unlabel::ssl {

OptionTable table(SimclrOptions& options) {
  OptionTable t;
  t.add("hidden_dim", options.hidden_dim, "width of the hidden layer of the projector (paper: the number of features)");
  t.add("projection_dim", options.projection_dim, "dimensions of the embedding (paper: 128)");
  t.add("temperature", options.temperature, "softmax temperature of the similarities (paper: 0.1)");
  return t;
}

Simclr::Simclr(std::shared_ptr<ImageEncoder> encoder, const SimclrOptions& options, const MethodContext& context)
    : options_(options),
      embeddings_(2 * context.local_micro_batch() * context.group->world_size()),
      group_(context.group) {
  require_positive("simclr.hidden_dim", options_.hidden_dim);
  require_positive("simclr.projection_dim", options_.projection_dim);
  require_positive("simclr.temperature", options_.temperature);
  if (embeddings_ < 4)
    throw UsageError(
        "SimCLR contrasts an image with the others of a forward pass, and there is only 1: give a larger ",
        context.micro_batch > 0 && context.micro_batch < context.global_batch ? "--micro-batch" : "--batch-size");
  backbone_ = register_module("backbone", std::move(encoder));
  projector_ = register_module("projector", Projector(ProjectorOptions{.in = backbone_->feature_dim(),
                                                                       .hidden = options_.hidden_dim,
                                                                       .out = options_.projection_dim,
                                                                       .last_bias = false,
                                                                       .last_norm = true,
                                                                       .last_norm_bias = false}));
}

void Simclr::check_views(const augment::MultiCrop& views) const { require_two_views("SimCLR", views); }

Loss Simclr::loss(const Batch& batch, const Step&) {
  const auto views = batch.views();
  require_two_views("SimCLR", views.size());
  const auto samples = views[0].size(0);
  const auto projected = projector_->forward(backbone_->forward(at::cat(views)));

  const auto z = l2_normalize(projected);
  // No autocast from here on: 16 bits are too few for similarities divided by a temperature of 0.1.
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  // Order rows by sample, then view: after the gather the embeddings of sample i are rows 2i and 2i + 1 with any number of ranks. The
  // other view's row is then the own one with the lowest bit flipped; an embedding's similarity to itself is excluded by -inf.
  const auto mine = z.view({2, samples, -1}).transpose(0, 1).reshape({2 * samples, -1});
  const auto all = gather_with_gradient(mine, group_);
  const auto self = torch::arange(2 * samples, views[0].options().dtype(at::kLong)) + group_->rank() * 2 * samples;
  const auto other_view = self.bitwise_xor(1);
  const auto similarity = mine.matmul(all.t()).scatter(1, self.unsqueeze(1), -std::numeric_limits<double>::infinity());
  const auto contrast = info_nce(similarity, other_view, options_.temperature);

  Loss loss;
  loss.value = 2 * contrast.loss;
  loss.diagnostics = {{"contrast_accuracy", contrast.accuracy}};
  loss.embeddings = z.detach().narrow(0, 0, samples);
  return loss;
}

std::string Simclr::accumulation_note(std::int64_t samples) const {
  return concat("an image has ", 2 * samples - 2, " negatives, those of its micro-batch");
}

// The limits were measured: docs/results.md.
std::vector<CollapseCheck> Simclr::collapse_checks() const {
  const double chance = 2 * std::log(static_cast<double>(embeddings_ - 1));
  return {{"loss", 0.995 * chance, /*above=*/true, "it stays at 2 ln(2B - 1), the loss when all similarities are equal",
           "Try a lower --optimizer.lr, or a --simclr.temperature of 0.1 to 0.5"},
          {"feature_spread", 0.8, /*above=*/false, "embeddings are not spread over the sphere",
           "Try a lower --optimizer.lr, or a larger --batch-size"},
          {"effective_rank", 2, /*above=*/false, "embeddings lie along one or two directions",
           "Try a lower --optimizer.lr, or a larger --batch-size"}};
}

}  // namespace unlabel::ssl
