#include <unlabel/augment/error.h>
#include <unlabel/augment/exception_text.h>
#include <unlabel/eval/report/report.h>
#include <unlabel/launch/pretrain/run.h>
#include <unlabel/ssl/layers/batch_norm.h>
#include <unlabel/ssl/layers/dropout.h>
#include <unlabel/ssl/monitor/embedding_stats.h>
#include <unlabel/ssl/optim/autocast.h>

#include <malloc.h>
#include <torch/types.h>

#include <cmath>
#include <exception>
#include <map>
#include <utility>

namespace unlabel::launch {

namespace {

/// Thrown by a pass over the data that a signal ended, on all ranks alike.
struct StopRequested {};

/// Thrown on all ranks alike when training cannot go on although its weights are sound: what was learned is to be saved first.
struct AgreedEnd {
  std::exception_ptr cause;  ///< null: the monitor's failure()
};

/// Rows [first, first + size) of a batch: floating-point numbers in the type of training, images in its layout.
data::Batch micro_batch(const data::Batch& batch, std::int64_t first, std::int64_t size, at::ScalarType type,
                        bool channels_last) {
  data::Batch rows;
  for (const auto& [name, tensor] : batch.tensors) {
    auto part = tensor.narrow(0, first, size);
    if (part.is_floating_point())
      part = part.to(part.options().dtype(type), /*non_blocking=*/false, /*copy=*/false,
                     channels_last && part.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
    rows.tensors.emplace_back(name, std::move(part));
  }
  rows.indices = batch.indices.narrow(0, first, size);
  return rows;
}

/// Adds a micro-step's part to the means over all of them.
void add(std::vector<std::pair<std::string, at::Tensor>>& means,
         const std::vector<std::pair<std::string, at::Tensor>>& more, int micro_steps) {
  UNLABEL_INVARIANT(means.empty() || means.size() == more.size());
  for (std::size_t i = 0; i < more.size(); ++i) {
    const auto part = more[i].second / micro_steps;
    if (means.size() == i)
      means.emplace_back(more[i].first, part);
    else
      means[i].second = means[i].second + part;
  }
}

/// The next batch, when there is one on every rank; else AgreedEnd, or StopRequested.
std::optional<data::HostBatch> next_batch(data::Loader& loader, const ssl::Group& group) {
  std::optional<data::HostBatch> batch;
  try {
    ssl::run_on_all_ranks(group, [&] {
      try {
        batch = loader.next();
      } catch (const UsageError& error) {
        // A mistake in use was told before the run began: what fails now (too many open files) may work when it is started again.
        throw Error(error.what());
      }
    });
  } catch (const ssl::LostRankError&) {
    throw;
  } catch (const Error&) {
    // A stop that came while a disk was waited for.
    if (ssl::any_rank(group, StopSignal::requested())) throw StopRequested();
    throw AgreedEnd{std::current_exception()};
  }
  return batch;
}

}  // namespace

PretrainResult Run::train() {
  if (online_knn_) online_knn_->use_precision(options_.precision == "float64" ? "float32" : options_.precision);
  if (iteration_ > 0) monitor_->load_state(resumed_.monitor);
  log_start();
  const bool had_finished = iteration_ >= last_;
  try {
    for (auto epoch = iteration_ / steps_per_epoch_; iteration_ < last_ && !stop_requested(); ++epoch)
      train_epoch(epoch);
  } catch (const AgreedEnd& end) {
    save_before_the_end();
    if (end.cause) std::rethrow_exception(end.cause);
    throw MismatchError(monitor_->failure());
  }
  if (iteration_ >= last_ && iteration_ > 0 && monitor_->updates() == 0)
    throw MismatchError("all ", iteration_, " updates were left out, because loss or gradients were not finite (",
                        options_.out, "/nonfinite.jsonl): nothing was learned. Start anew with a lower --optimizer.lr",
                        precision_->scales_loss() ? ", more steps, in which the loss scale is found," : "",
                        " or --precision float32");

  PretrainResult result;
  if (iteration_ < last_) {
    progress_->say(concat("stopped on request after step ", iteration_, "; the same command goes on from there"));
    result.exit_code = 75;
  }
  if (const auto times = monitor_->replacements(); times > 0)
    progress_->warn(
        concat("broken images were replaced ", times, " times; they are named in ", options_.out, "/replaced.jsonl"));
  const auto collapse = monitor_->collapse();
  if (!collapse.empty())
    progress_->warn(concat("the run ends collapsed, or has learned nothing yet, by its ", joined(collapse, ", "),
                           "; what to try is among the warnings in ", options_.out, "/metrics.jsonl"));
  double loss = monitor_->loss();
  write_encoder(result, had_finished, loss);
  result.summary = {{"method", options_.method},
                    {"steps", iteration_},
                    {"steps_per_epoch", steps_per_epoch_},
                    {"epochs", options_.epochs},
                    {"batch_size", options_.batch_size},
                    {"precision", options_.precision},
                    {"images_per_second", throughput_->overall()},
                    {"data_wait", throughput_->overall_data_wait()},
                    {"seconds", throughput_->seconds()},
                    {"world_size", group_->world_size()},
                    {"out", options_.out},
                    {"collapse", collapse}};
  result.summary["final_loss"] = std::isfinite(loss) ? nlohmann::json(loss) : nlohmann::json(nullptr);
  result.warnings = progress_->warnings();
  return result;
}

LocalStepStats Run::forward_and_backward(const data::Batch& batch, ssl::Step step) {
  const auto micro_batch_of = [&](int micro_step) {
    ssl::set_dropout_key(*method_,
                         {options_.seed, static_cast<std::uint64_t>(step.iteration * step.micro_steps + micro_step), 0,
                          group_->rank(), group_->world_size()});
    return micro_batch(batch, micro_step * micro_batch_, micro_batch_, precision_->weights(), channels_last_);
  };
  if (step.micro_steps > 1) {
    const ssl::Autocast autocast(device_.type(), precision_->autocast());
    method_->before_micro_steps(micro_batch_of, step);
  }
  LocalStepStats stats;
  stats.loss = torch::zeros({}, torch::TensorOptions(torch::kFloat64).device(device_));
  std::vector<at::Tensor> embeddings;
  for (step.micro_step = 0; step.micro_step < step.micro_steps; ++step.micro_step) {
    const auto samples = micro_batch_of(step.micro_step);
    parallel_->before_forward(/*synchronize=*/step.micro_step + 1 == step.micro_steps);
    ssl::Loss loss;
    {
      const ssl::Autocast autocast(device_.type(), precision_->autocast());
      loss = method_->loss(samples, step);
    }
    loss.value = loss.value / step.micro_steps;
    parallel_->backward(scaler_->scale(loss.value));
    stats.loss += loss.value.detach();
    add(stats.diagnostics, loss.diagnostics, step.micro_steps);
    if (loss.embeddings.defined()) embeddings.push_back(loss.embeddings);
  }
  if (!embeddings.empty() && monitor_->wants_embeddings(step.iteration)) {
    const auto spread = ssl::embedding_stats(group_->all_gather(at::cat(embeddings).contiguous()));
    stats.diagnostics.emplace_back("feature_spread", spread.deviation);
    stats.gram = spread.gram;
  }
  return stats;
}

/// A run does not end because it could not be measured.
void Run::measure_knn(std::int64_t epoch, nlohmann::json& line) {
  try {
    const auto knn = (*online_knn_)(method_->encoder(), *group_);
    line["knn_accuracy"] = knn.accuracy;
    progress_->say(concat("epoch ", epoch + 1, ": ", eval::describe(knn)));
  } catch (const ssl::LostRankError&) {
    throw;
  } catch (const std::exception& error) {
    // An Error comes to all ranks alike. Of LibTorch's own, as for too little memory, the others know nothing: this rank ends.
    if (group_->world_size() > 1 && !dynamic_cast<const Error*>(&error)) throw;
    progress_->warn(concat("epoch ", epoch + 1, ": no kNN accuracy: ", exception_text(error)));
  }
#ifdef __GLIBC__
  ::malloc_trim(0);  // the bank's blocks, freed between others of all sizes, would stay: 1 to 5 MiB an epoch at first
#endif
}

PendingStep Run::make_step(data::HostBatch batch, const ssl::Step& step) {
  // A GPU is at work on the step before, so that this copy takes none of its time.
  const auto on_device = (*copier_)(batch);
  guard_->before_forward();
  method_->before_step(step);
  optimizer_->zero_grad();
  LocalStepStats stats = forward_and_backward(on_device, step);
  if (scaler_->enabled()) stats.diagnostics.emplace_back("loss_scale", scaler_->factor().reshape({}).clone());
  stats.stop = StopSignal::requested();
  stats.save = is_rank0_ && saving_minutes_are_over();
  stats.replaced = static_cast<std::int64_t>(batch.replacements.size());

  StepStatsReduction exchange(*group_, stats);
  const auto finite = scaler_->unscale(method_->parameters()).logical_and(exchange.loss().isfinite());
  exchange.copy_to_host_async(finite);
  const double lr = (*schedule_)(step.iteration);
  guard_->update(finite, [&] {
    ssl::average_running_statistics(*method_, *group_);
    method_->before_update(step);
    optimizer_->step(lr);
    auto after = step;
    after.update_applied = finite;
    method_->after_step(after);
  });
  return {step, lr, std::move(exchange), std::move(batch.indices), std::move(batch.replacements)};
}

/// Samples outside of training steps, for methods that use all of the data (Epoch::read). Ranks read as many batches each. `passed` counts
/// them in this epoch.
void Run::read_samples(std::int64_t epoch, const data::SampleTransform& transform,
                       const std::vector<std::int64_t>& samples, std::int64_t batch_size, std::int64_t& passed,
                       const std::function<void(const data::Batch&)>& visit) const {
  // The loader lives in this call only, and does not own the caller's transform.
  const std::shared_ptr<const data::SampleTransform> borrowed(std::shared_ptr<void>(), &transform);
  data::Loader loader(dataset_, borrowed, loader_options(options_, environment_, device_));
  data::BatchCopier copier(device_);
  // No epoch of training has this number, so that what is drawn differs from what it trains on.
  loader.start(samples, batch_size, ~epoch);
  for (;;) {
    const auto batch = next_batch(loader, *group_);
    if (!batch) return;
    if (ssl::any_rank(*group_, StopSignal::requested())) throw StopRequested();
    ssl::set_dropout_key(*method_, {options_.seed, ssl::round_outside_of_steps(epoch, passed++), 0, group_->rank(),
                                    group_->world_size()});
    const auto all = micro_batch(copier(*batch), 0, static_cast<std::int64_t>(batch->indices.size()),
                                 precision_->weights(), channels_last_);
    const ssl::Autocast autocast(device_.type(), precision_->autocast());
    visit(all);
  }
}

void Run::train_epoch(std::int64_t epoch) {
  std::int64_t passed = 0;
  const ssl::Epoch about{epoch, dataset_.get(), transform_.get(),
                         [&](const auto& transform, const auto& samples, std::int64_t batch_size, const auto& visit) {
                           read_samples(epoch, transform, samples, batch_size, passed, visit);
                         }};
  const auto begin = epoch * steps_per_epoch_, end = std::min(last_, begin + steps_per_epoch_);
  std::map<std::string, double> stats;
  throughput_->resume(loader_->seconds_waited());
  if (iteration_ == begin) {
    guard_->before_forward();
    try {
      for (const auto& [name, value] : method_->before_epoch(about)) stats[name] = value.item<double>();
    } catch (const StopRequested&) {  // as if the epoch had not begun: the run that goes on begins it
      guard_->restore_buffers();
      stopped_between_steps_ = true;
      save();
      return;
    } catch (const AgreedEnd&) {
      guard_->restore_buffers();
      throw;
    }
  }
  data::Sampler order = *sampler_;
  if (auto own = method_->order(about)) order.set_order(std::move(*own));
  ssl::run_on_all_ranks(*group_, [&] { loader_->start(order, epoch, iteration_ - begin, end - begin); });

  while (iteration_ < end && !stop_requested()) {
    std::optional<data::HostBatch> batch;
    try {
      batch = next_batch(*loader_, *group_);
    } catch (const StopRequested&) {
      monitor_->flush();
      stopped_between_steps_ = true;
      save();
      if (!monitor_->failure().empty()) throw AgreedEnd();
      return;
    }
    UNLABEL_INVARIANT(batch);
    const int micro_steps = static_cast<int>(sampler_->local_batch() / micro_batch_);
    auto made = make_step(std::move(*batch), {iteration_, epoch, total_, steps_per_epoch_, 0, micro_steps});
    ++iteration_;
    throughput_->step(loader_->seconds_waited());
    judge_range(/*at_end=*/iteration_ == last_);
    made.line["images_per_second"] = throughput_->recent();
    made.line["data_wait"] = throughput_->recent_data_wait();
    made.epoch_diagnostics = std::exchange(stats, {});

    if (iteration_ % steps_per_epoch_ == 0 && online_knn_ && (epoch + 1) % options_.knn.every == 0) {
      measure_knn(epoch, made.line);
      throughput_->resume(loader_->seconds_waited());
    }
    monitor_->add(std::move(made));
    if (iteration_ == end) monitor_->flush();
    if (!monitor_->failure().empty()) throw AgreedEnd();
    const auto every = options_.checkpoint.every.steps;
    if (iteration_ == last_ || stop_requested() || monitor_->save_due() || (every > 0 && iteration_ % every == 0)) {
      monitor_->flush();
      save();
      if (!monitor_->failure().empty()) throw AgreedEnd();
    }
    if (is_rank0_)
      if (const auto failure = writer_->failure(); !failure.empty())
        progress_->warn(concat(failure, "; training goes on without this checkpoint"));
  }
}

/// Says once that images of 16 bits lose most of their levels: early, while there is time to start anew, but not by a few dark ones.
void Run::judge_range(bool at_end) {
  constexpr std::int64_t kEnough = 100;
  if (range_judged_) return;
  const auto decoded = loader_->decoded();
  if (decoded.deep_images < kEnough && !at_end) return;
  range_judged_ = true;
  if (const auto warning = augment::range_warning(decoded); !warning.empty()) progress_->warn(warning);
}

PretrainResult pretrain(const ResolvedOptions& resolved, const Environment& environment) {
  return Run(resolved, environment).train();
}

}  // namespace unlabel::launch
