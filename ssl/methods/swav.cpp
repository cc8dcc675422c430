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
        "the assignments of the first N crops, which must be global, are the targets");
  t.add("temperature", options.temperature, "softmax temperature of the predictions (paper: 0.1)");
  t.add("epsilon", options.epsilon,
        "weight of the entropy in Sinkhorn; a smaller one gives assignments closer to one-hot (paper: 0.05)");
  t.add("sinkhorn_iterations", options.sinkhorn_iterations,
        "Sinkhorn iterations (paper: 3); 0: a plain softmax, which collapses");
  t.add("prototypes", options.prototypes, "number of prototypes K (paper: 3000)");
  t.add("projection_dim", options.projection_dim, "dimensions of the embedding (paper: 128)");
  t.add("hidden_dim", options.hidden_dim,
        "width of the hidden layer of the projection head (paper: 2048); 0: a single linear layer");
  t.add("freeze_prototypes_iterations", options.freeze_prototypes_iterations,
        "steps at the start of the run in which the prototypes are not trained (paper: the first epoch)");
  t.add("whole_batch_sinkhorn", options.whole_batch_sinkhorn,
        "with --micro-batch: run Sinkhorn on the whole batch, which takes a second forward pass, instead of on each "
        "micro-batch separately");
  t.add("queue_length", options.queue_length,
        "embeddings of earlier batches that are included in Sinkhorn, over all ranks; 0: none");
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

/// The entropy - sum p log p along the last dimension of size K, divided by its largest value ln K.
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
  // The queue holds whole batches; a length below one batch means no queue.
  const std::int64_t length = options_.queue_length - options_.queue_length % global_batch;
  if (length > 0)
    queue_ = register_module(
        "queue", std::make_shared<Queue>(options_.crops_for_assign, length, options_.projection_dim, group_));
  else if (global_batch < 2)
    throw UsageError(
        "SwAV distributes the images of a batch over its prototypes, which is meaningless for 1 image: give a larger "
        "--batch-size, or a --swav.queue-length");
}

/// Embeddings of crops, L2-normalized: crops x n x d, float32 or float64.
at::Tensor Swav::embed(const std::vector<at::Tensor>& crops) {
  return l2_normalize(projection_head_->forward(forward_multi_crop(*backbone_, crops)))
      .view({static_cast<std::int64_t>(crops.size()), -1, options_.projection_dim});
}

/// Dot products of embeddings (crops x n x d) with the prototypes: crops x n x K.
at::Tensor Swav::score(const at::Tensor& embeddings) {
  return prototypes_->forward(embeddings.flatten(0, 1))
      .view({embeddings.size(0), embeddings.size(1), options_.prototypes});
}

/// False while too few steps have run to fill the queue, which the host knows without waiting for the device. True is no guarantee, because
/// some of those steps may have been skipped.
bool Swav::queue_may_be_full(const Step& step) const {
  const auto pushing = step.iteration - options_.queue_start_epoch * step.steps_per_epoch;  // the first step counts 0
  return (pushing + (step.micro_step > 0 ? 1 : 0)) * global_batch_ >= queue_->length();
}

/// Assignments of the first A crops (A x n x K) from their scores and, if the queue is full, those of the queue; then fills the queue.
at::Tensor Swav::assign_and_enqueue(const at::Tensor& embeddings, const at::Tensor& scores, const Step& step) {
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
  // No autocast from here on: 16 bits are too few for scores divided by a temperature of 0.1.
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto type = z.scalar_type();
  const at::Tensor scores = score(z);
  // Targets: this micro-batch's part of the assignments of the whole batch, if before_micro_batches made them, else its own.
  UNLABEL_INVARIANT(!assignments_.defined() || assignments_.size(1) == samples * step.micro_steps);
  const at::Tensor q = assignments_.defined() ? assignments_.narrow(1, step.micro_step * samples, samples)
                                              : assign_and_enqueue(z.detach().narrow(0, 0, targets),
                                                                   scores.detach().narrow(0, 0, targets), step);
  if (step.micro_step + 1 == step.micro_steps) assignments_.reset();

  // Eq. 6. The sum over v != i is the sum over all crops minus the term of i, so one sum is computed for all targets.
  const at::Tensor log_p = at::log_softmax(scores / options_.temperature, -1);
  const at::Tensor others = log_p.sum(0, /*keepdim=*/true) - log_p.narrow(0, 0, targets);
  Loss loss;
  loss.value = (q * others).sum(-1).mean().div(-static_cast<double>(crops - 1));

  // Row 0: mean assignment of each prototype; row 1: positive if it is the most probable one of some sample of any rank.
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
           "it stays at ln K, the loss of a uniform prediction, so nothing is learned",
           "Try a lower --optimizer.lr, a smaller --swav.epsilon (0.03), or a longer "
           "--swav.freeze-prototypes-iterations"},
          {"feature_spread", 0.1, /*above=*/false, "different images get nearly the same embedding",
           "Try a lower --optimizer.lr, fewer --swav.prototypes, or a larger --batch-size"},
          {"effective_rank", rank_limit(3, options_.projection_dim), /*above=*/false,
           "embeddings lie along few directions", "Try a lower --optimizer.lr, or a larger --batch-size"},
          {"assignment_entropy", 0.98, /*above=*/true, "every image is assigned to all prototypes almost equally",
           "Try a smaller --swav.epsilon (0.03)"},
          {"mean_assignment_entropy", 0.9, /*above=*/false, "all images are assigned to few prototypes",
           "Try more --swav.sinkhorn-iterations (3), or a larger --swav.epsilon (0.05)"}};
}

void Swav::before_step(const Step&) {
  assignments_.reset();  // left over if the previous step ended with an exception
  const torch::NoGradGuard no_grad;
  auto& weight = prototypes_->weight;
  weight.copy_(l2_normalize(weight));
}

void Swav::before_micro_batches(const std::function<Batch(int)>& micro_batch, const Step& step) {
  if (!options_.whole_batch_sinkhorn) return;
  const torch::NoGradGuard no_grad;
  const RunningStatisticsGuard unchanged(*this);  // loss() updates running statistics with the same micro-batches
  // The embeddings of the first crops of all micro-batches, then one assignment of all. loss() uses each micro-batch's part.
  std::vector<at::Tensor> parts;
  for (int i = 0; i < step.micro_steps; ++i)
    parts.push_back(embed(micro_batch(i).views()).narrow(0, 0, options_.crops_for_assign));
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto whole = at::cat(parts, 1);
  assignments_ = assign_and_enqueue(whole, score(whole), step);
}

std::string Swav::accumulation_note(std::int64_t samples) const {
  if (options_.whole_batch_sinkhorn) return "";
  return concat(
      "Sinkhorn assigns each micro-batch of ", samples, " images to the ", options_.prototypes,
      " prototypes separately (--swav.whole-batch-sinkhorn assigns the whole batch, with one more forward pass)");
}

// Without a gradient the optimizer leaves the prototypes as they are: no weight decay, no momentum.
void Swav::before_update(const Step& step) {
  if (step.iteration < options_.freeze_prototypes_iterations) prototypes_->weight.mutable_grad().reset();
}

}  // namespace unlabel::ssl
