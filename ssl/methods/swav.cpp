#include <unlabel/augment/error.h>
#include <unlabel/ssl/layers/l2_normalize.h>
#include <unlabel/ssl/method_checks.h>
#include <unlabel/ssl/methods/swav.h>
#include <unlabel/ssl/models/forward_multi_crop.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <cmath>

namespace unlabel::ssl {

OptionTable table(SwavOptions& options) {
  OptionTable t;
  t.add("crops_for_assign", options.crops_for_assign,
        "number of first crops, the global ones, whose assignments are the targets");
  t.add("temperature", options.temperature, "softmax temperature of the predictions (paper: 0.1)");
  t.add("epsilon", options.epsilon,
        "weight of the entropy in Sinkhorn; a smaller one makes assignments closer to one-hot (paper: 0.05)");
  t.add("sinkhorn_iterations", options.sinkhorn_iterations,
        "Sinkhorn iterations (paper: 3); 0: a plain softmax, which collapses");
  t.add("prototypes", options.prototypes, "number of prototypes K (paper: 3000)");
  t.add("projection_dim", options.projection_dim, "dimensions of the embedding (paper: 128)");
  t.add("hidden_dim", options.hidden_dim,
        "width of the hidden layer of the projection head (paper: 2048); 0: a single linear layer");
  t.add("freeze_prototypes_iterations", options.freeze_prototypes_iterations,
        "steps before which the prototypes are not trained (paper: the first epoch)");
  t.add("whole_batch_sinkhorn", options.whole_batch_sinkhorn,
        "with --micro-batch: assign the whole batch to prototypes at once, for a second forward pass, and not each "
        "micro-batch by itself");
  t.add("queue_length", options.queue_length,
        "embeddings of earlier batches that take part in Sinkhorn, over all ranks; 0: none");
  t.add("queue_start_epoch", options.queue_start_epoch, "epoch, from 0, at which the queue begins to fill");
  return t;
}

namespace {

void check(const SwavOptions& o) {
  const auto at_least = [](const char* name, std::int64_t value, std::int64_t least) {
    if (value < least) throw UsageError("swav.", name, " is ", value, ": it must be at least ", least);
  };
  at_least("crops_for_assign", o.crops_for_assign, 1);
  at_least("prototypes", o.prototypes, 2);
  at_least("projection_dim", o.projection_dim, 1);
  at_least("hidden_dim", o.hidden_dim, 0);
  at_least("sinkhorn_iterations", o.sinkhorn_iterations, 0);
  at_least("freeze_prototypes_iterations", o.freeze_prototypes_iterations, 0);
  at_least("queue_length", o.queue_length, 0);
  at_least("queue_start_epoch", o.queue_start_epoch, 0);
  if (!(o.temperature > 0))
    throw UsageError("swav.temperature is ", o.temperature, ": it must be above 0, such as 0.1");
  if (!(o.epsilon > 0)) throw UsageError("swav.epsilon is ", o.epsilon, ": it must be above 0, such as 0.05");
}

/// - sum p log p along the last dimension, over its largest value.
at::Tensor relative_entropy(const at::Tensor& p) {
  return at::xlogy(p, p).sum(-1).div(-std::log(static_cast<double>(p.size(-1))));
}

}  // namespace

Swav::Swav(std::shared_ptr<ImageEncoder> encoder, SwavOptions options, std::int64_t global_batch,
           std::shared_ptr<const Group> group)
    : options_(options), global_batch_(global_batch), group_(std::move(group)) {
  check(options_);
  if (global_batch < 1) throw UsageError("the batch is ", global_batch, ": it must be at least 1");
  backbone_ = register_module("backbone", std::move(encoder));
  projection_head_ = register_module("projection_head", Projector(ProjectorOptions{.in = backbone_->feature_dim(),
                                                                                   .hidden = options_.hidden_dim,
                                                                                   .out = options_.projection_dim}));
  prototypes_ = register_module(
      "prototypes",
      torch::nn::Linear(torch::nn::LinearOptions(options_.projection_dim, options_.prototypes).bias(false)));
  const std::int64_t length = options_.queue_length - options_.queue_length % global_batch;
  if (length > 0)
    queue_ = register_module(
        "queue", std::make_shared<Queue>(options_.crops_for_assign, length, options_.projection_dim, group_));
  else if (global_batch < 2)
    throw UsageError(
        "SwAV spreads the images of a batch over its prototypes, which says nothing of 1 image: give a larger "
        "--batch-size, or a --swav.queue-length");
}

/// crops x n x d, each of length 1, in float32 or more.
at::Tensor Swav::embed(const std::vector<at::Tensor>& crops) {
  return l2_normalize(projection_head_->forward(forward_multi_crop(*backbone_, crops)))
      .view({static_cast<std::int64_t>(crops.size()), -1, options_.projection_dim});
}

/// crops x n x K.
at::Tensor Swav::score(const at::Tensor& embeddings) {
  return prototypes_->forward(embeddings.flatten(0, 1))
      .view({embeddings.size(0), embeddings.size(1), options_.prototypes});
}

/// Whether enough steps have pushed to it, without a look at the device: some may have been left out.
bool Swav::queue_may_be_full(const Step& step) const {
  const auto pushing = step.iteration - options_.queue_start_epoch * step.steps_per_epoch;  // the first step counts 0
  return (pushing + (step.micro_step > 0 ? 1 : 0)) * global_batch_ >= queue_->length();
}

at::Tensor Swav::assign(const at::Tensor& embeddings, const at::Tensor& scores, const Step& step) {
  const torch::NoGradGuard no_grad;
  const std::int64_t samples = scores.size(1);
  at::Tensor all = scores;
  if (queue_ && step.epoch >= options_.queue_start_epoch) {
    if (queue_may_be_full(step) && queue_->full(/*step_start=*/step.micro_step == 0))
      all = at::cat({queue_->local().matmul(prototypes_->weight.t()), scores}, 1);
    queue_->push(embeddings);
  }
  const SinkhornOptions options{options_.epsilon, options_.sinkhorn_iterations};
  return sinkhorn(all, options, *group_).narrow(1, all.size(1) - samples, samples);
}

void Swav::check_views(const augment::MultiCrop& views) const {
  require_global_crops("SwAV", "swav", views, options_.crops_for_assign);
}

Loss Swav::loss(const Batch& batch, const Step& step) {
  const auto views = batch.views();
  const auto crops = static_cast<std::int64_t>(views.size()), targets = options_.crops_for_assign;
  require_crops("SwAV", crops, targets);
  const std::int64_t samples = views[0].size(0);
  const at::Tensor z = embed(views);
  // No autocast from here on: 16 bits are too few for scores over a temperature of 0.1.
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto type = z.scalar_type();
  const at::Tensor scores = score(z);
  UNLABEL_INVARIANT(!assignments_.defined() || assignments_.size(1) == samples * step.micro_steps);
  const at::Tensor q = assignments_.defined()
                           ? assignments_.narrow(1, step.micro_step * samples, samples)
                           : assign(z.detach().narrow(0, 0, targets), scores.detach().narrow(0, 0, targets), step);
  if (step.micro_step + 1 == step.micro_steps) assignments_.reset();

  // Eq. 6. The crops other than i are all crops but i, so one sum over crops serves every target.
  const at::Tensor log_p = at::log_softmax(scores / options_.temperature, -1);
  const at::Tensor others = log_p.sum(0, /*keepdim=*/true) - log_p.narrow(0, 0, targets);
  Loss loss;
  loss.value = (q * others).sum(-1).mean().div(-static_cast<double>(crops - 1));

  const torch::NoGradGuard no_grad;
  at::Tensor usage = at::zeros({2, options_.prototypes}, q.options());
  usage[0].copy_(q.flatten(0, 1).mean(0));
  usage[1].index_fill_(0, q.argmax(-1).flatten(), 1);
  group_->all_reduce_sum(usage);
  loss.diagnostics = {{"assignment_entropy", relative_entropy(q).mean()},
                      {"mean_assignment_entropy", relative_entropy(usage[0] / group_->world_size())},
                      {"prototypes_used", (usage[1] > 0).sum().to(type)}};
  loss.embeddings = z.detach()[0];
  if (queue_) loss.diagnostics.emplace_back("queue_full", (queue_->filled() >= queue_->length()).to(type));
  return loss;
}

// The limits were fixed on Fashion-MNIST and checked on CIFAR-10: docs/results.md.
std::vector<CollapseCheck> Swav::collapse_checks() const {
  const double chance = std::log(static_cast<double>(options_.prototypes));
  return {{"loss", 0.995 * chance, /*above=*/true,
           "it stays at ln K, as if every prototype were as likely as any other, so nothing is learned",
           "Try a lower --optimizer.lr, a smaller --swav.epsilon (0.03), or a longer "
           "--swav.freeze-prototypes-iterations"},
          {"feature_spread", 0.1, /*above=*/false, "different images get nearly the same embedding",
           "Try a lower --optimizer.lr, fewer --swav.prototypes, or a larger --batch-size"},
          {"effective_rank", rank_limit(3, options_.projection_dim), /*above=*/false,
           "embeddings lie along few directions", "Try a lower --optimizer.lr, or a larger --batch-size"},
          {"assignment_entropy", 0.98, /*above=*/true, "every image belongs to all prototypes alike",
           "Try a smaller --swav.epsilon (0.03)"},
          {"mean_assignment_entropy", 0.9, /*above=*/false, "few prototypes take all images",
           "Try more --swav.sinkhorn-iterations (3), or a larger --swav.epsilon (0.05)"}};
}

void Swav::before_step(const Step&) {
  assignments_.reset();  // those of a step that was not finished
  const torch::NoGradGuard no_grad;
  auto& weight = prototypes_->weight;
  weight.copy_(l2_normalize(weight));
}

void Swav::before_micro_steps(const std::function<Batch(int)>& micro_batch, const Step& step) {
  if (!options_.whole_batch_sinkhorn) return;
  const torch::NoGradGuard no_grad;
  const RunningStatisticsGuard once(*this);  // they move when the micro-batches come again
  std::vector<at::Tensor> parts;
  for (int i = 0; i < step.micro_steps; ++i)
    parts.push_back(embed(micro_batch(i).views()).narrow(0, 0, options_.crops_for_assign));
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto whole = at::cat(parts, 1);
  assignments_ = assign(whole, score(whole), step);
}

std::string Swav::accumulation_note(std::int64_t samples) const {
  if (options_.whole_batch_sinkhorn) return "";
  return concat(
      "Sinkhorn spreads each micro-batch, ", samples, " images, over the ", options_.prototypes,
      " prototypes by itself (--swav.whole-batch-sinkhorn spreads the whole batch, for one more forward pass)");
}

void Swav::before_update(const Step& step) {
  if (step.iteration < options_.freeze_prototypes_iterations) prototypes_->weight.mutable_grad().reset();
}

}  // namespace unlabel::ssl
