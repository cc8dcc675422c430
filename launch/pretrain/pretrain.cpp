#include <unlabel/augment/error.h>
#include <unlabel/augment/exception_text.h>
#include <unlabel/launch/distributed/process_group.h>
#include <unlabel/launch/pretrain/run.h>
#include <unlabel/ssl/layers/batch_norm.h>
#include <unlabel/ssl/layers/dropout.h>
#include <unlabel/ssl/monitor/embedding_stats.h>
#include <unlabel/ssl/optim/autocast.h>

#include <c10/util/ScopeExit.h>
#include <malloc.h>
#include <torch/types.h>

#include <chrono>
#include <cmath>
#include <exception>
#include <map>
#include <utility>

namespace unlabel::launch {

namespace {

/// Thrown on all ranks when a signal ends a pass over the data.
struct StopRequested {};

/// Thrown on all ranks when training cannot continue although the weights are valid: a checkpoint is to be written first.
struct EndedOnAllRanks {
  std::exception_ptr cause;  ///< null: the cause is the monitor's failure()
};

/// While the returned object lives, ranks wait for each other for at most --timeout, as in a step; otherwise for --init-timeout.
auto limit_step(const ssl::Group& group, const PretrainOptions& options) {
  set_timeout(group, std::chrono::seconds(options.timeout));
  return c10::make_scope_exit([&] { set_timeout(group, std::chrono::seconds(options.init_timeout)); });
}

/// Rows [first, first + size) of a batch. Floating-point tensors are converted to `type`, and images (4 dimensions) to channels_last on
/// request.
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

/// Adds one micro-step's diagnostics, divided by the number of micro-steps, to the means over all of them.
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

/// The next batch; nullopt at the end of the loader's pass. If reading fails on any rank, all ranks throw EndedOnAllRanks, or StopRequested
/// when a signal came meanwhile.
std::optional<data::HostBatch> next_batch(data::Loader& loader, const ssl::Group& group) {
  std::optional<data::HostBatch> batch;
  try {
    ssl::run_on_all_ranks(group, [&] {
      try {
        batch = loader.next();
      } catch (const UsageError& error) {
        // Usage errors were reported at start-up. One that occurs now (too many open files) may not occur after a restart, so it must not
        // end the program with the exit code of a usage error.
        throw Error(error.what());
      }
    });
  } catch (const ssl::LostRankError&) {
    throw;
  } catch (const Error&) {
    // The loader also gives up retrying when a signal comes: then this is a stop and not a failure.
    if (ssl::all_reduce_any(group, StopSignal::requested())) throw StopRequested();
    throw EndedOnAllRanks{std::current_exception()};
  }
  return batch;
}

}  // namespace

PretrainResult Run::train() {
  // kNN has no float64: exact tests measure in float32.
  if (online_knn_) online_knn_->use_precision(options_.precision == "float64" ? "float32" : options_.precision);
  if (iteration_ > 0) monitor_->load_state(resumed_.monitor);
  log_start();
  const bool had_finished = iteration_ >= last_;
  try {
    for (auto epoch = iteration_ / steps_per_epoch_; iteration_ < last_ && !stop_requested(); ++epoch)
      train_epoch(epoch);
  } catch (const EndedOnAllRanks& end) {
    save_before_the_end();
    if (end.cause) std::rethrow_exception(end.cause);
    throw MismatchError(monitor_->failure());
  }
  if (iteration_ >= last_ && iteration_ > 0 && monitor_->updates() == 0)
    throw MismatchError("all ", iteration_, " updates were skipped, because the loss or gradients were not finite (",
                        options_.out, "/nonfinite.jsonl): nothing was learned. Start over with a lower --optimizer.lr",
                        precision_->scales_loss() ? ", more steps (the first ones adapt the loss scale)," : "",
                        " or --precision float32");

  PretrainResult result;
  if (iteration_ < last_) {
    progress_->say(concat("stopped on request after step ", iteration_, "; the same command resumes from there"));
    result.exit_code = 75;
  }
  if (const auto times = monitor_->replacements(); times > 0)
    progress_->warn(concat("broken ", noun_, "s were replaced ", times, " times; they are listed in ", options_.out,
                           "/replaced.jsonl"));
  const auto collapse = monitor_->collapse();
  if (!collapse.empty())
    progress_->warn(concat("at its end the run has collapsed, or has not learned anything yet, according to ",
                           joined(collapse, ", "), "; the warnings in ", options_.out,
                           "/metrics.jsonl say what to try"));
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

/// Forward and backward passes of one step over its micro-batches; gradients are averaged over the ranks in the last one.
LocalStepStats Run::forward_and_backward(const data::Batch& batch, ssl::Step step) {
  // Dropout masks depend on the micro-step, so that a method which runs a micro-batch twice gets the same masks.
  const auto micro_batch_of = [&](int micro_step) {
    ssl::set_dropout_key(*method_,
                         {options_.seed, static_cast<std::uint64_t>(step.iteration * step.micro_steps + micro_step), 0,
                          group_->rank(), group_->world_size()});
    return micro_batch(batch, micro_step * micro_batch_, micro_batch_, precision_->weights(), channels_last_);
  };
  // A method may need the whole batch before gradients are computed (for example SwAV's assignments over all micro-batches).
  if (step.micro_steps > 1) {
    const ssl::Autocast autocast(device_.type(), precision_->autocast());
    method_->before_micro_batches(micro_batch_of, step);
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
  // For the collapse monitor, now and then: statistics of the embeddings of the whole batch, of all ranks.
  if (!embeddings.empty() && monitor_->wants_embeddings(step.iteration)) {
    const auto spread = ssl::embedding_stats(group_->all_gather(at::cat(embeddings).contiguous()));
    stats.diagnostics.emplace_back("feature_spread", spread.feature_spread);
    stats.gram = spread.gram;
  }
  return stats;
}

/// Measures kNN accuracy and adds it to the log line. A failure is a warning and does not end the run.
void Run::measure_knn(std::int64_t epoch, nlohmann::json& line) {
  try {
    const auto report = (*online_knn_)(method_->encoder(), *group_);
    line["knn_accuracy"] = report.json.at("value");
    progress_->say(concat("epoch ", epoch + 1, ": ", report.text));
  } catch (const ssl::LostRankError&) {
    throw;
  } catch (const std::exception& error) {
    // unlabel's Error is thrown on all ranks, so all continue together. An exception of LibTorch (out of memory) may concern this rank
    // alone, while the others wait in a collective: then this rank must end.
    if (group_->world_size() > 1 && !dynamic_cast<const Error*>(&error)) throw;
    progress_->warn(concat("epoch ", epoch + 1, ": no kNN accuracy: ", exception_text(error)));
  }
#ifdef __GLIBC__
  ::malloc_trim(
      0);  // fragmentation by the freed feature bank would otherwise grow memory by 1 to 5 MiB per epoch at first
#endif
}

PendingStep Run::make_step(data::HostBatch batch, const ssl::Step& step) {
  const auto limit = limit_step(*group_, options_);
  // On a GPU this copy overlaps with the computation of the previous step.
  const auto on_device = (*copier_)(batch);
  guard_->before_forward();
  method_->before_step(step);
  optimizer_->zero_grad();
  LocalStepStats stats = forward_and_backward(on_device, step);
  if (scaler_->enabled()) stats.diagnostics.emplace_back("loss_scale", scaler_->factor().reshape({}).clone());
  stats.stop = StopSignal::requested();
  stats.save = is_rank0_ && save_interval_elapsed();
  stats.replaced = static_cast<std::int64_t>(batch.replacements.size());

  // All ranks decide together whether this update is applied. Results are read one step later (TrainingMonitor), so that the host does not
  // wait for a GPU here.
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

/// Reads samples outside of training steps, for methods that need a pass over the data before an epoch (EpochContext::read). All ranks must
/// read the same number of batches. `passed` counts this epoch's batches, over several calls.
void Run::read_samples(std::int64_t epoch, const data::SampleTransform& transform,
                       const std::vector<std::int64_t>& samples, std::int64_t batch_size, std::int64_t& passed,
                       const std::function<void(const data::Batch&)>& visit) const {
  // The loader only exists during this call, so it may refer to the caller's transform without owning it.
  const std::shared_ptr<const data::SampleTransform> borrowed(std::shared_ptr<void>(), &transform);
  auto loading = loader_options(options_, environment_, device_);
  loading.retry_time = data::retry_time(std::chrono::seconds(options_.init_timeout));
  data::Loader loader(dataset_, borrowed, loading);
  data::BatchCopier copier(device_);
  // No training epoch has this number, so that the random views differ from those used for training.
  loader.start(samples, batch_size, ~epoch);
  for (;;) {
    const auto batch = next_batch(loader, *group_);
    if (!batch) return;
    if (ssl::all_reduce_any(*group_, StopSignal::requested())) throw StopRequested();
    ssl::set_dropout_key(*method_, {options_.seed, ssl::round_outside_of_steps(epoch, passed++), 0, group_->rank(),
                                    group_->world_size()});
    const auto all = micro_batch(copier(*batch), 0, static_cast<std::int64_t>(batch->indices.size()),
                                 precision_->weights(), channels_last_);
    const ssl::Autocast autocast(device_.type(), precision_->autocast());
    visit(all);
  }
}

/// Trains from iteration_ to the end of the epoch, or until the run ends.
void Run::train_epoch(std::int64_t epoch) {
  std::int64_t passed = 0;
  const ssl::EpochContext about{
      epoch, dataset_.get(), transform_.get(),
      [&](const auto& transform, const auto& samples, std::int64_t batch_size, const auto& visit) {
        read_samples(epoch, transform, samples, batch_size, passed, visit);
      }};
  const auto begin = epoch * steps_per_epoch_, end = std::min(last_, begin + steps_per_epoch_);
  std::map<std::string, double> stats;
  throughput_->resume(loader_->seconds_waited());
  // Work of the method before an epoch (a clustering, for example); not when the run resumed within the epoch.
  if (iteration_ == begin) {
    guard_->before_forward();
    try {
      for (const auto& [name, value] : method_->before_epoch(about)) stats[name] = value.item<double>();
    } catch (const StopRequested&) {  // back to the end of the previous epoch: a resumed run repeats this
      guard_->restore_buffers();
      stopped_between_steps_ = true;
      save();
      return;
    } catch (const EndedOnAllRanks&) {
      guard_->restore_buffers();
      throw;
    }
  }
  // A method may replace the random order of samples. The loader starts at the first step that is still to do.
  data::Sampler order = *sampler_;
  if (auto own = method_->order(about)) order.set_order(std::move(*own));
  ssl::run_on_all_ranks(*group_, [&] { loader_->start(order, epoch, iteration_ - begin, end - begin); });

  while (iteration_ < end && !stop_requested()) {
    std::optional<data::HostBatch> batch;
    try {
      const auto limit = limit_step(*group_, options_);
      batch = next_batch(*loader_, *group_);
    } catch (const StopRequested&) {
      monitor_->flush();
      stopped_between_steps_ = true;
      save();
      if (!monitor_->failure().empty()) throw EndedOnAllRanks();
      return;
    }
    UNLABEL_INVARIANT(batch);
    // One step, and what its log line needs.
    const int micro_steps = static_cast<int>(sampler_->local_batch() / micro_batch_);
    auto made = make_step(std::move(*batch), {iteration_, epoch, total_, steps_per_epoch_, 0, micro_steps});
    ++iteration_;
    throughput_->step(loader_->seconds_waited());
    warn_of_level_range(/*at_end=*/iteration_ == last_);
    made.line["images_per_second"] = throughput_->recent();
    made.line["data_wait"] = throughput_->recent_data_wait();
    made.epoch_diagnostics = std::exchange(stats, {});

    if (iteration_ % steps_per_epoch_ == 0 && online_knn_ && (epoch + 1) % options_.knn.every == 0) {
      measure_knn(epoch, made.line);
      throughput_->resume(loader_->seconds_waited());
    }
    // add() evaluates the previous step. Whether to stop or save is therefore known one step late, except at the end of an epoch.
    monitor_->add(std::move(made));
    if (iteration_ == end) monitor_->flush();
    if (!monitor_->failure().empty()) throw EndedOnAllRanks();
    const auto every = options_.checkpoint.every.steps;
    if (iteration_ == last_ || stop_requested() || monitor_->save_due() || (every > 0 && iteration_ % every == 0)) {
      monitor_->flush();
      save();
      if (!monitor_->failure().empty()) throw EndedOnAllRanks();
    }
    if (is_rank0_)
      if (const auto failure = writer_->failure(); !failure.empty())
        progress_->warn(concat(failure, "; training continues without this checkpoint"));
  }
}

/// Warns once when 16-bit images use only few of their levels (augment::range_warning): early in the run, while little time is lost by
/// starting over, but after enough images to judge by.
void Run::warn_of_level_range(bool at_end) {
  constexpr std::int64_t kEnough = 100;
  if (level_range_checked_) return;
  const auto decoded = loader_->decode_report();
  if (decoded.deep_images < kEnough && !at_end) return;
  level_range_checked_ = true;
  if (const auto warning = augment::range_warning(decoded); !warning.empty()) progress_->warn(warning);
}

PretrainResult pretrain(const ResolvedOptions& resolved, const Environment& environment) {
  return Run(resolved, environment).train();
}

}  // namespace unlabel::launch
