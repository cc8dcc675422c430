#include <unlabel/augment/error.h>
#include <unlabel/data/collate.h>
#include <unlabel/data/sampler.h>
#include <unlabel/ssl/layers/ema.h>
#include <unlabel/ssl/layers/l2_normalize.h>
#include <unlabel/ssl/losses/info_nce.h>
#include <unlabel/ssl/method_checks.h>
#include <unlabel/ssl/methods/moco.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace unlabel::ssl {

OptionTable table(MocoOptions& options) {
  OptionTable t;
  t.add("hidden_dim", options.hidden_dim,
        "width of the hidden layer of the projector (v2: the number of features); 0: a single linear layer (v1)");
  t.add("projection_dim", options.projection_dim, "dimensions of the embedding (paper: 128)");
  t.add("temperature", options.temperature, "softmax temperature of the similarities (v2: 0.2; v1: 0.07)");
  t.add("momentum", options.momentum,
        "momentum of the key network, a moving average of the trained one (paper: 0.999)");
  t.add("queue_length", options.queue_length,
        "number of negatives: embeddings of earlier batches, over all ranks (paper: 65536)");
  t.add("norm_group", options.norm_group,
        "images that share batch statistics in the key network (released code: 32, the images of one GPU)");
  return t;
}

namespace {

/// The shuffled order of the images of all ranks: element i is the index of the image that comes i-th.
at::Tensor shuffled(std::int64_t images, std::uint64_t seed, const Step& step) {
  const auto round = static_cast<std::uint64_t>(step.iteration) * static_cast<std::uint64_t>(step.micro_steps) +
                     static_cast<std::uint64_t>(step.micro_step);
  const data::Permutation order(static_cast<std::uint64_t>(images), seed, round);
  auto indices = torch::empty({images}, torch::kInt64);
  for (std::int64_t i = 0; i < images; ++i)
    indices.data_ptr<std::int64_t>()[i] = static_cast<std::int64_t>(order(static_cast<std::uint64_t>(i)));
  return indices;
}

}  // namespace

Moco::Moco(std::shared_ptr<ImageEncoder> encoder, std::shared_ptr<ImageEncoder> key_encoder, const MocoOptions& options,
           const MethodContext& context)
    : options_(options),
      seed_(context.seed),
      norm_group_(std::min(options.norm_group, context.local_micro_batch() * context.group->world_size())),
      group_(context.group) {
  require_positive("moco.projection_dim", options_.projection_dim);
  require_positive("moco.temperature", options_.temperature);
  require_positive("moco.queue_length", options_.queue_length);
  require_positive("moco.norm_group", options_.norm_group);
  if (options_.hidden_dim < 0) throw UsageError("moco.hidden_dim is ", options_.hidden_dim, ": it must be at least 0");
  if (!(options_.momentum >= 0 && options_.momentum <= 1))
    throw UsageError("moco.momentum is ", options_.momentum, ": it must be in [0, 1], such as 0.999");
  // A normalization group is a part of the images of one rank's forward pass, or spans several ranks.
  const auto mine = context.local_micro_batch();
  const auto ranks = std::max<std::int64_t>(1, norm_group_ / mine);
  if ((norm_group_ <= mine ? mine % norm_group_ : norm_group_ % mine) != 0 || group_->world_size() % ranks != 0)
    throw UsageError("--moco.norm-group ", norm_group_, " does not divide the ", mine, " images of a forward pass",
                     group_->world_size() > 1 ? " of each rank" : "",
                     context.micro_batch > 0 ? concat(" (--micro-batch ", context.micro_batch, ")")
                                             : concat(" (--batch-size ", context.global_batch, ")"),
                     ": give a divisor of ", mine);
  const auto sync_bn_ranks = ranks == 1 ? single_process() : group_->subgroup(static_cast<int>(ranks));
  const auto head = [&](const ImageEncoder& network) {
    return Projector(ProjectorOptions{.in = network.feature_dim(),
                                      .hidden = options_.hidden_dim,
                                      .out = options_.projection_dim,
                                      .hidden_norm = false});
  };
  backbone_ = register_module("backbone", std::move(encoder));
  projector_ = register_module("projector", head(*backbone_));
  key_backbone_ = register_module("key_backbone", std::move(key_encoder));
  key_projector_ = register_module("key_projector", head(*key_backbone_));
  // The key network is moved, not trained, and has a normalization group of its own; the queue starts with random keys.
  freeze(*key_backbone_);
  freeze(*key_projector_);
  fix_batch_norm_group(*key_backbone_, sync_bn_ranks);
  queue_ = register_module("queue", std::make_shared<Queue>(1, options_.queue_length, options_.projection_dim, group_));
  queue_->fill_with_random_directions();
}

void Moco::check_views(const augment::MultiCrop& views) const { require_two_views("MoCo", views); }

at::Tensor Moco::keys(const at::Tensor& images, const Step& step) {
  const torch::NoGradGuard no_grad;
  const auto mine = images.size(0), all = mine * group_->world_size();
  const auto order = data::to_device(shuffled(all, seed_, step), images.device());
  // This rank computes the keys of its part of the shuffled order, one normalization group at a time.
  const auto share = order.narrow(0, group_->rank() * mine, mine);
  const auto inputs = group_->all_gather(images.contiguous()).index_select(0, share);
  std::vector<at::Tensor> made;
  for (const auto& group : inputs.split(std::min(norm_group_, mine)))
    made.push_back(key_projector_->forward(key_backbone_->forward(group.contiguous(images.suggest_memory_format()))));
  const auto shuffled_keys = group_->all_gather(l2_normalize(at::cat(made)).contiguous());
  // Undo the shuffle: keys in the order of the images of all ranks.
  auto keys = at::empty_like(shuffled_keys);
  keys.index_copy_(0, order, shuffled_keys);
  return keys;
}

Loss Moco::loss(const Batch& batch, const Step& step) {
  const auto views = batch.views();
  require_two_views("MoCo", views.size());
  const auto samples = views[0].size(0);
  const auto projected = projector_->forward(backbone_->forward(views[0]));
  const auto all_keys = keys(views[1], step);

  // No autocast from here on: 16 bits are too few for similarities divided by a small temperature.
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto q = l2_normalize(projected);
  const auto k = all_keys.narrow(0, group_->rank() * samples, samples);
  // Column 0 is the positive, the others are the queue; cloned, because the push below overwrites what backward still needs.
  const auto similarity =
      at::cat({(q * k).sum(1, /*keepdim=*/true), q.matmul(queue_->all().select(0, 0).clone().t())}, 1);
  const auto contrast =
      info_nce(similarity, torch::zeros({samples}, views[0].options().dtype(at::kLong)), options_.temperature);
  queue_->push_gathered(all_keys.unsqueeze(0));

  Loss loss;
  loss.value = contrast.loss;
  loss.diagnostics = {{"contrast_accuracy", contrast.accuracy}};
  loss.embeddings = q.detach();
  return loss;
}

// Copies the query network to the key network at the first step, and not in the constructor, because --init may have loaded weights in
// between.
void Moco::before_step(const Step& step) {
  if (step.iteration == 0) move_key_network(0);
}

void Moco::after_step(const Step&) { move_key_network(options_.momentum); }

void Moco::move_key_network(double momentum) {
  update_ema(*key_backbone_, *backbone_, momentum);
  update_ema(*key_projector_, *projector_, momentum);
  // Running statistics are copied from the query network. The released code updates the key network's own; training uses neither.
  const torch::NoGradGuard no_grad;
  const auto to = key_backbone_->buffers(), from = backbone_->buffers();
  for (std::size_t i = 0; i < to.size(); ++i) at::Tensor(to[i]).copy_(from[i]);
}

std::string Moco::accumulation_note(std::int64_t) const {
  const std::string note = "keys of an update's earlier micro-batches are among the negatives of its later ones";
  return norm_group_ == options_.norm_group ? note
                                            : concat(note, ", and they are normalized in groups of ", norm_group_);
}

// The limits were measured: docs/results.md.
std::vector<CollapseCheck> Moco::collapse_checks() const {
  const double chance = std::log(static_cast<double>(options_.queue_length + 1));
  return {
      {"loss", 0.995 * chance, /*above=*/true, "it stays at ln(queue + 1), the loss when all similarities are equal",
       "Try a lower --optimizer.lr, or a --moco.temperature of 0.07 to 0.2"},
      {"feature_spread", 0.1, /*above=*/false, "different images get nearly the same embedding",
       "Try a lower --optimizer.lr, or a higher --moco.momentum"},
      {"effective_rank", 2, /*above=*/false, "embeddings lie along one or two directions",
       "Try a lower --optimizer.lr, or a higher --moco.momentum"}};
}

}  // namespace unlabel::ssl
