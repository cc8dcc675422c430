#include <unlabel/augment/error.h>
#include <unlabel/data/collate.h>
#include <unlabel/data/sampler.h>
#include <unlabel/ssl/clustering/clusterings.h>
#include <unlabel/ssl/layers/gather.h>
#include <unlabel/ssl/layers/l2_normalize.h>
#include <unlabel/ssl/method_checks.h>
#include <unlabel/ssl/methods/deepcluster_v2.h>
#include <unlabel/ssl/models/encoder.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <algorithm>
#include <map>

namespace unlabel::ssl {

OptionTable table(DeepClusterV2Options& options) {
  OptionTable t;
  t.add("prototypes", options.prototypes,
        "number of clusters K of each clustering, which has its own layer of prototypes (paper: 3000,3000,3000)");
  t.add("crops_for_assign", options.crops_for_assign,
        "the embeddings of the first N crops, which must be global, are clustered; each of them has a memory bank");
  t.add("temperature", options.temperature, "softmax temperature of the predictions (paper: 0.1)");
  t.add("projection_dim", options.projection_dim, "dimensions of the embedding");
  t.add("hidden_dim", options.hidden_dim, "width of the hidden layer of the projection head; 0: a single linear layer");
  t.add("kmeans_iterations", options.kmeans_iterations, "k-means iterations of each clustering (released code: 10)");
  t.add("freeze_prototypes_iterations", options.freeze_prototypes_iterations,
        "steps at the start of the run in which the prototypes are not trained by gradient (released code: 300000, "
        "more than its runs have)");
  t.add("as_released", options.as_released,
        "choose the first centroids among the embeddings of rank 0, as the released code does, instead of all ranks");
  return t;
}

namespace {

constexpr std::int64_t kNoCluster = -100;  ///< the value that cross_entropy_loss ignores by default
constexpr std::int64_t kNoSample = -1;

/// This rank's part of a result of gather_steps: the reverse.
at::Tensor own_part(const at::Tensor& all, std::int64_t steps, const Group& group) {
  const auto rows = all.size(0) / steps / group.world_size();
  auto sizes = all.sizes().vec();
  sizes[0] = steps * rows;
  return all.view({steps, group.world_size(), rows, -1}).select(1, group.rank()).reshape(sizes);
}

}  // namespace

DeepClusterV2::DeepClusterV2(std::shared_ptr<ImageEncoder> encoder, const DeepClusterV2Options& options,
                             const MethodContext& context)
    : options_(options), context_(context), group_(context.group) {
  require_positive("deepcluster_v2.crops_for_assign", options_.crops_for_assign);
  require_positive("deepcluster_v2.temperature", options_.temperature);
  require_positive("deepcluster_v2.projection_dim", options_.projection_dim);
  if (options_.hidden_dim < 0 || options_.kmeans_iterations < 0 || options_.freeze_prototypes_iterations < 0)
    throw UsageError(
        "deepcluster_v2: hidden_dim, kmeans_iterations and freeze_prototypes_iterations must be at least 0");
  if (options_.prototypes.empty()) throw UsageError("deepcluster_v2.prototypes is empty: give a number for each head");
  if (context_.global_batch < 1 || context_.images < context_.global_batch)
    throw UsageError("DeepCluster-v2 needs a batch of 1 to ", context_.images, " images, the number in the data, not ",
                     context_.global_batch);
  // A bank has a row for each sample of an epoch; each rank holds its own rows. With as_released, centroids come from rank 0's.
  steps_ = context_.images / context_.global_batch;
  local_batch_ = context_.global_batch / group_->world_size();
  const auto rows = options_.as_released ? steps_ * local_batch_ : steps_ * context_.global_batch;
  for (const auto k : options_.prototypes) {
    require_positive("deepcluster_v2.prototypes", k);
    if (k > rows)
      throw UsageError("deepcluster_v2.prototypes is ", k, ", more than the ", rows,
                       " embeddings of a bank: give fewer, such as ", std::max<std::int64_t>(1, rows / 10));
  }
  backbone_ = register_module("backbone", std::move(encoder));
  projection_head_ = register_module("projection_head", Projector(ProjectorOptions{.in = backbone_->feature_dim(),
                                                                                   .hidden = options_.hidden_dim,
                                                                                   .out = options_.projection_dim}));
  const auto prototypes = register_module("prototypes", std::make_shared<torch::nn::Module>());
  for (std::size_t h = 0; h < options_.prototypes.size(); ++h)
    heads_.push_back(prototypes->register_module(
        concat("prototypes", h),
        torch::nn::Linear(torch::nn::LinearOptions(options_.projection_dim, options_.prototypes[h]).bias(false))));
  bank_ = torch::zeros({options_.crops_for_assign, steps_ * local_batch_, options_.projection_dim});
  bank_samples_ = torch::zeros({steps_ * local_batch_}, torch::kInt64);
  clusters_ = torch::full({static_cast<std::int64_t>(heads_.size()), context_.images}, kNoCluster, torch::kInt64);
}

void DeepClusterV2::check_views(const augment::MultiCrop& views) const {
  require_global_crops("DeepCluster-v2", "deepcluster-v2", views, options_.crops_for_assign);
}

/// Embeddings of crops, L2-normalized: crops x n x dim.
at::Tensor DeepClusterV2::embed(const std::vector<at::Tensor>& crops) {
  return l2_normalize(projection_head_->forward(forward_multi_crop(*backbone_, crops)))
      .view({static_cast<std::int64_t>(crops.size()), crops[0].size(0), -1});
}

Loss DeepClusterV2::loss(const Batch& batch, const Step&) {
  const auto views = batch.views();
  const auto crops = static_cast<std::int64_t>(views.size());
  require_crops("DeepCluster-v2", crops, options_.crops_for_assign);
  const auto z = embed(views);

  // No autocast from here on: 16 bits are too few for scores divided by a temperature of 0.1.
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto samples = batch.indices.to(clusters_.device());
  pending_rows_.push_back({z.detach().narrow(0, 0, options_.crops_for_assign), samples});
  const auto targets = clusters_.index_select(1, samples).to(z.device());
  // The number of samples of all ranks that have a cluster, for each head. Each rank's sum is weighted such that the average over ranks,
  // which the training loop takes, is the mean over these samples.
  auto assigned = targets.ge(0).sum(1).to(z.scalar_type());
  group_->all_reduce_sum(assigned);
  const auto weight = group_->world_size() / (static_cast<double>(crops) * assigned.clamp_min(1));
  Loss loss;
  loss.value = torch::zeros({}, z.options());
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    const auto scores = heads_[h]->forward(z.flatten(0, 1)) / options_.temperature;
    const auto target = targets[static_cast<std::int64_t>(h)].repeat({crops});
    loss.value = loss.value + at::cross_entropy_loss(scores, target, {}, at::Reduction::Sum, kNoCluster) *
                                  weight[static_cast<std::int64_t>(h)];
    // The diagnostics are those of the first head.
    if (h > 0) continue;
    const torch::NoGradGuard no_grad;
    const auto right = (scores.argmax(1) == target).sum().to(z.scalar_type());
    loss.diagnostics = {{"cluster_accuracy", right * weight[0]}};
  }
  loss.value = loss.value / static_cast<double>(heads_.size());
  loss.embeddings = z.detach()[0];
  return loss;
}

/// Writes the embeddings of these samples into consecutive rows of the banks. If `update_applied` is defined and false, no row changes its
/// embedding and all are marked as without a sample.
void DeepClusterV2::write_bank_rows(std::int64_t first_row, const at::Tensor& embeddings, const at::Tensor& samples,
                                    const at::Tensor& update_applied) {
  const torch::NoGradGuard no_grad;
  const auto rows = bank_.narrow(1, first_row, samples.size(0));
  const auto owners = bank_samples_.narrow(0, first_row, samples.size(0));
  if (!update_applied.defined()) {
    rows.copy_(embeddings);
    owners.copy_(samples);
    return;
  }
  // Decided on the device, so that the host does not wait. The rows of a skipped step have no sample, because their old sample may be in
  // another row by now, and no sample may be in two rows.
  const auto applied = update_applied.to(rows.device());
  rows.copy_(at::where(applied, embeddings.to(rows.device(), rows.scalar_type()), rows));
  owners.copy_(at::where(applied, samples.to(rows.device()), kNoSample));
}

/// Fills the banks by one pass over the data in training mode, in the order of the first epoch.
void DeepClusterV2::fill_banks(const EpochContext& epoch) {
  const torch::NoGradGuard no_grad;
  const data::Sampler sampler(context_.images, context_.global_batch, context_.seed, group_->rank(),
                              group_->world_size());
  std::vector<std::int64_t> samples;
  for (std::int64_t step = 0; step < steps_; ++step)
    for (const auto sample : sampler.indices(epoch.epoch, step)) samples.push_back(sample);
  std::int64_t row = 0;
  epoch.read(*epoch.transform, samples, context_.local_micro_batch(), [&](const Batch& batch) {
    const auto views = batch.views();
    std::vector<at::Tensor>
        embeddings;  // a forward pass for each crop, with its own batch statistics, as in the released code
    for (std::int64_t crop = 0; crop < options_.crops_for_assign; ++crop)
      embeddings.push_back(embed({views[static_cast<std::size_t>(crop)]}));
    write_bank_rows(row, at::cat(embeddings), batch.indices, {});
    row += batch.indices.size(0);
  });
  UNLABEL_INVARIANT(row == bank_samples_.size(0));
}

Diagnostics DeepClusterV2::before_epoch(const EpochContext& epoch) {
  move_data_state();
  if (epoch.epoch == 0) fill_banks(epoch);
  return cluster(epoch);
}

/// Clusters the banks of all ranks: sets the prototypes of each head, and the cluster of each sample that is in a bank.
Diagnostics DeepClusterV2::cluster(const EpochContext& epoch) {
  const torch::NoGradGuard no_grad;
  const auto before = epoch.epoch > 0 ? clusters_[0].clone() : at::Tensor();
  const auto samples = group_->all_gather(bank_samples_);
  const auto taken = samples.ge(0).nonzero().flatten();  // rows that hold a sample's embedding
  clusters_.fill_(kNoCluster);
  double objective = 0, empty = 0;
  // Each head has a clustering of its own, with another seed, of bank h mod A.
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    const auto head = static_cast<std::int64_t>(h);
    KmeansOptions options;
    options.clusters = options_.prototypes[h];
    options.iterations = options_.kmeans_iterations;
    options.spherical = true;
    options.empty_action = "keep";
    options.seed = clustering_seed(context_.seed, epoch.epoch * static_cast<std::int64_t>(heads_.size()) + head);
    const auto points = bank_[head % options_.crops_for_assign];
    at::Tensor first;
    if (options_.as_released) {
      options.broadcast_from_rank0 = true;
    } else {  // positions in the epoch's order, which does not depend on the number of ranks
      first = first_centroids(points, options);
    }
    const auto found = kmeans(points, options, *group_, first);
    heads_[h]->weight.copy_(found.centroids);
    clusters_[head].index_put_({samples.index_select(0, taken)},
                               group_->all_gather(found.assignments).index_select(0, taken));
    if (h == 0) objective = found.objective.back();
    empty += static_cast<double>(found.empty_clusters);
  }
  const auto value = [](double number) { return torch::tensor(number, torch::kFloat64); };
  Diagnostics diagnostics{{"kmeans_objective", value(objective)}, {"empty_clusters", value(empty)}};
  add_mutual_information(diagnostics, before, clusters_[0], epoch);
  return diagnostics;
}

/// K embeddings of the bank of all ranks, at random positions in the epoch's global order: K x dim, on every rank. Each rank fills in the
/// rows that it holds, and the sum over ranks completes them.
at::Tensor DeepClusterV2::first_centroids(const at::Tensor& points, const KmeansOptions& options) const {
  const data::Permutation order(static_cast<std::uint64_t>(steps_ * context_.global_batch), options.seed, 0);
  std::vector<std::int64_t> from, to;  // this rank's rows: index into `points`, index into the result
  for (std::int64_t k = 0; k < options.clusters; ++k) {
    const auto position = static_cast<std::int64_t>(order(static_cast<std::uint64_t>(k)));
    const auto step = position / context_.global_batch, within = position % context_.global_batch;
    if (within / local_batch_ != group_->rank()) continue;
    from.push_back(step * local_batch_ + within % local_batch_);
    to.push_back(k);
  }
  auto rows = torch::zeros({options.clusters, points.size(1)}, points.options());
  const auto on_device = [&](const std::vector<std::int64_t>& list) {
    return data::to_device(torch::tensor(list, torch::kInt64), points.device());
  };
  rows.index_copy_(0, on_device(to), points.index_select(0, on_device(from)));
  group_->all_reduce_sum(rows);
  return rows;
}

/// Moves the banks and clusters to the device of the networks; they are no buffers, so Module::to does not.
void DeepClusterV2::move_data_state() {
  const auto device = heads_[0]->weight.device();
  for (auto* tensor : {&bank_, &bank_samples_, &clusters_}) *tensor = tensor->to(device);
}

void DeepClusterV2::before_step(const Step& step) {
  move_data_state();
  pending_rows_.clear();
  // These rows have no sample until after_step writes them, so that no sample is in two rows meanwhile.
  bank_samples_.narrow(0, step.iteration % steps_ * local_batch_, local_batch_).fill_(kNoSample);
}

void DeepClusterV2::before_update(const Step& step) {
  if (step.iteration >= options_.freeze_prototypes_iterations) return;
  for (auto& head : heads_) head->weight.mutable_grad().reset();
}

void DeepClusterV2::after_step(const Step& step) {
  auto row = step.iteration % steps_ * local_batch_;
  for (const auto& [embeddings, samples] : pending_rows_) {
    write_bank_rows(row, embeddings, samples, step.update_applied);
    row += samples.size(0);
  }
  pending_rows_.clear();
}

std::vector<std::pair<std::string, at::Tensor>> DeepClusterV2::per_sample_state() {
  std::vector<at::Tensor> banks;
  for (std::int64_t crop = 0; crop < bank_.size(0); ++crop) banks.push_back(gather_steps(bank_[crop], steps_, *group_));
  const auto samples = gather_steps(bank_samples_, steps_, *group_);
  if (group_->rank() != 0) return {};
  return {{"bank", at::stack(banks)}, {"bank_samples", samples}, {"clusters", clusters_.cpu()}};
}

std::int64_t DeepClusterV2::per_sample_state_bytes() const {
  const auto banks = bank_.nbytes() + bank_samples_.nbytes();  // this rank's part
  return static_cast<std::int64_t>(banks) * group_->world_size() + static_cast<std::int64_t>(clusters_.nbytes());
}

void DeepClusterV2::load_per_sample_state(const std::vector<std::pair<std::string, at::Tensor>>& state) {
  const std::map<std::string, at::Tensor> by_name(state.begin(), state.end());
  const auto find = [&](const char* name, at::IntArrayRef sizes) {
    const auto found = by_name.find(name);
    if (found == by_name.end() || found->second.sizes() != sizes)
      throw MismatchError("the checkpoint's '", name,
                          "' does not fit this run of DeepCluster-v2: use the same data and ",
                          "settings, or another --out");
    return found->second;
  };
  // The checkpoint has the rows of all ranks; check all of it before anything is written, then keep this rank's part.
  const auto rows = steps_ * local_batch_ * group_->world_size();
  const auto banks = find("bank", {bank_.size(0), rows, bank_.size(2)});
  const auto samples = find("bank_samples", {rows});
  const auto clusters = find("clusters", clusters_.sizes());
  bool sound = banks.is_floating_point() && are_whole_numbers(samples, kNoSample, context_.images);
  for (std::size_t h = 0; h < heads_.size(); ++h)
    sound = sound && are_whole_numbers(clusters[static_cast<std::int64_t>(h)], kNoCluster, options_.prototypes[h]);
  if (!sound)
    throw MismatchError(
        "the checkpoint's state of DeepCluster-v2 has sample or cluster numbers out of range: it is damaged");
  for (std::int64_t crop = 0; crop < bank_.size(0); ++crop) bank_[crop].copy_(own_part(banks[crop], steps_, *group_));
  bank_samples_.copy_(own_part(samples, steps_, *group_));
  clusters_.copy_(clusters);
}

// The limits were measured: docs/results.md.
std::vector<CollapseCheck> DeepClusterV2::collapse_checks() const {
  return {{"feature_spread", 0.1, /*above=*/false, "different images get nearly the same embedding",
           "Try a lower --optimizer.lr, or fewer --deepcluster-v2.prototypes"},
          {"effective_rank", rank_limit(3.5, options_.projection_dim), /*above=*/false,
           "embeddings lie along few directions", "Try a lower --optimizer.lr, or fewer --deepcluster-v2.prototypes"}};
}

}  // namespace unlabel::ssl
