#include <unlabel/augment/error.h>
#include <unlabel/data/atomic_file.h>
#include <unlabel/data/collate.h>
#include <unlabel/data/file_list.h>
#include <unlabel/data/loader.h>
#include <unlabel/eval/online_knn.h>
#include <unlabel/eval/report.h>
#include <unlabel/launch/broken_images.h>
#include <unlabel/launch/checkpoint.h>
#include <unlabel/launch/checkpoint_writer.h>
#include <unlabel/launch/command_output.h>
#include <unlabel/launch/data_parallel.h>
#include <unlabel/launch/health.h>
#include <unlabel/launch/precision.h>
#include <unlabel/launch/pretrain.h>
#include <unlabel/launch/process_group.h>
#include <unlabel/launch/progress.h>
#include <unlabel/launch/run_folder.h>
#include <unlabel/launch/run_log.h>
#include <unlabel/launch/step_guard.h>
#include <unlabel/launch/stop_signal.h>
#include <unlabel/launch/throughput.h>
#include <unlabel/launch/training_state.h>
#include <unlabel/ssl/autocast.h>
#include <unlabel/ssl/batch_norm.h>
#include <unlabel/ssl/cast.h>
#include <unlabel/ssl/weights.h>

#include <torch/types.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <set>
#include <utility>

namespace unlabel::launch {

namespace {

constexpr std::int64_t kWideForCpu = 64;

/// Rows [first, first + size) of a batch's views, on the device.
ssl::Views micro_batch(const std::vector<at::Tensor>& crops, const at::Tensor& indices, std::int64_t first,
                       std::int64_t size, at::ScalarType type, at::Device device, bool channels_last) {
  ssl::Views views;
  for (const auto& crop : crops)
    views.crops.push_back(crop.narrow(0, first, size)
                              .to(torch::TensorOptions(device).dtype(type), /*non_blocking=*/true, /*copy=*/false,
                                  channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous));
  views.indices = indices.narrow(0, first, size).to(device);
  return views;
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

/// A step whose news are still on the device.
struct Pending {
  ssl::Step step;
  double lr = 0;
  StepExchange exchange;
  std::vector<std::int64_t> indices;               ///< this rank's samples
  std::vector<data::Replacement> replacements;     ///< this rank's
  nlohmann::json line = nlohmann::json::object();  ///< what else its line in metrics.jsonl says
};

/// kNN on the labelled splits of the data, when it is asked for.
std::unique_ptr<eval::OnlineKnn> make_online_knn(const PretrainOptions& options,
                                                 std::shared_ptr<const data::Dataset> train, at::Device device) {
  if (options.knn.every <= 0) return nullptr;
  eval::OnlineKnnOptions online;
  online.train_images = options.knn.train_images;
  online.test_images = options.knn.test_images;
  online.knn.protocol = options.knn.protocol;
  online.knn.device = online.features.device = device.str();
  online.features.precision = options.precision == "float64" ? "float32" : options.precision;
  online.features.decode = options.decode;
  online.features.broken = "skip";  // training goes on without broken images, and so does this
  return std::make_unique<eval::OnlineKnn>(std::move(train), data::open_dataset(options.data, data::Split::kTest),
                                           evaluation_view(options), online);
}

}  // namespace

PretrainResult pretrain(const ResolvedOptions& resolved, const Environment& environment) {
  const PretrainOptions& options = resolved.options;

  // Who trains, and on what.
  const auto device = choose_device(options.device, environment);
  const Precision precision(options.precision);
  const auto& dataset = resolved.dataset;
  const data::Sampler sampler(dataset->size(), options.batch_size, options.seed, environment.rank,
                              environment.world_size);
  const auto local_batch = sampler.local_batch();
  const auto micro_batch_size = options.micro_batch == 0 ? local_batch : options.micro_batch;
  if (local_batch % micro_batch_size != 0)
    throw UsageError("--micro-batch ", micro_batch_size, " does not divide this rank's ", local_batch,
                     " images of --batch-size ", options.batch_size, " on ", environment.world_size, " ranks");
  const int micro_steps = static_cast<int>(local_batch / micro_batch_size);
  const auto steps_per_epoch = sampler.steps_per_epoch(), total = options.epochs * steps_per_epoch;
  const auto last = std::min(total, options.max_steps.value_or(total));
  const ssl::Schedule schedule(options.schedule, options.optimizer.lr, steps_per_epoch, total);
  data::LoaderOptions loading;
  loading.seed = options.seed;
  loading.threads = options.threads >= 0 ? options.threads : default_threads(environment);
  loading.decode = options.decode;
  const auto multi_crop = make_views(options);
  data::Loader loader(dataset, multi_crop, loading);
  const auto online_knn = make_online_knn(options, dataset, device);

  const auto group = connect(environment, device, {options.backend, options.timeout});
  const bool lead = group->rank() == 0;

  // The network, the same on every rank.
  torch::manual_seed(options.seed);
  auto encoder = ssl::make_encoder(options.encoder);
  auto method = ssl::make_method(options.method, options.methods, encoder, options.batch_size, group);
  method->check_views(multi_crop);
  const std::string checkpoints = options.out + "/checkpoints";
  ssl::LoadReport init_report;
  const auto newest = newest_checkpoint(checkpoints);
  const bool initialised = !options.init.empty() && !newest;
  ssl::together(*group, [&] {
    if (initialised) init_report = ssl::load_state(*encoder, ssl::read_weights(options.init).tensors);
  });
  method->to(device);
  ssl::to_float_dtype(*method, precision.weights());
  if (options.channels_last) ssl::to_channels_last(*method);
  // A recipe's group of ranks may be larger than this world, or not divide it: then the whole world shares its statistics.
  const int norm_group = options.sync_batch_norm_group;
  const bool norm_group_fits = norm_group > 0 && group->world_size() % norm_group == 0;
  ssl::set_batch_norm_group(*method, group->subgroup(norm_group_fits ? norm_group : 0));
  method->train();
  ssl::Optimizer optimizer(method->parameter_groups(), options.optimizer);
  LossScaler scaler(precision.scales_loss(), device);
  TrainingState state{*method, optimizer, scaler, options, *dataset};

  StepGuard guard(*method, optimizer, /*deferred=*/!device.is_cpu());
  NonFiniteBudget nonfinite(options.health.nonfinite_budget);
  BrokenImages broken(dataset->size(), options.health.broken_budget);

  // The run folder belongs to rank 0; every rank goes on from its newest checkpoint.
  std::unique_ptr<RunFolder> folder;
  std::unique_ptr<RunLog> log;
  std::unique_ptr<CheckpointWriter> writer;
  const std::string file_list = options.out + "/data_files.gz";
  const bool finished_before = newest.value_or(0) >= last;
  ssl::together(*group, [&] {
    if (!lead) return;
    folder = std::make_unique<RunFolder>(options.out, finished_before ? 0 : 3 * state.bytes());
    remove_unfinished_checkpoints(checkpoints);
  });
  TrainingState::Resumed resumed;
  ssl::together(*group, [&] { resumed = state.resume(checkpoints, file_list); });
  std::int64_t iteration = resumed.iteration;
  const auto starts = ssl::gather_texts(*group, std::to_string(iteration));
  if (std::set<std::string>(starts.begin(), starts.end()).size() > 1)
    throw MismatchError("not every rank sees the same checkpoint in ", checkpoints,
                        "; --out must be one folder that all machines share");
  if (resumed.health.is_object()) {
    nonfinite.load_state(resumed.health.at("nonfinite"));
    broken.load_state(resumed.health.at("broken"));
  }
  double loss_now = std::nan("");
  ssl::together(*group, [&] {
    if (!lead) return;
    const std::string config = folder->file("config.json");
    if (iteration < last || !std::filesystem::exists(config)) data::write_file(config, json_text(config_json(options)));
    if (iteration >= last) {
      const auto line = JsonLines::last(folder->file("metrics.jsonl"));
      if (line.is_object() && line.value("loss", nlohmann::json()).is_number())
        loss_now = line.at("loss").get<double>();
      return;
    }
    log = std::make_unique<RunLog>(*folder, iteration);
    if (iteration == 0) data::write_file_list(file_list, *dataset);
    writer = std::make_unique<CheckpointWriter>(checkpoints,
                                                Retention{options.checkpoint.keep, options.checkpoint.keep_every});
  });
  DataParallel parallel(*method, group);  // after the weights are final: it keeps pointers to them

  Progress progress(lead, last, iteration, steps_per_epoch);
  PretrainResult result;
  for (const auto& reason : resumed.skipped) progress.say("warning: a checkpoint is passed over: " + reason);
  if (iteration >= last) {
    progress.say(iteration >= total
                     ? concat("finished: all ", iteration, " steps are done in ", options.out,
                              "; for a new run choose another --out")
                     : concat("the run in ", options.out, " stands at step ", iteration, " of ", total,
                              " and --max-steps is ", last, ": nothing to do; without --max-steps it goes on"));
  } else {
    progress.say(dataset->description());
    for (const auto& line : resolved.reasons) progress.say("  " + line);
    for (const auto& line : resolved.warnings) progress.say("warning: " + line);
    if (device.is_cpu() && options.encoder.width >= kWideForCpu)
      progress.say(concat("warning: a ", options.encoder.arch, " of width ", options.encoder.width,
                          " takes long on a CPU; --encoder.width 16 is about ten times faster"));
    if (norm_group > 0 && !norm_group_fits && group->world_size() > 1)
      progress.say(concat("warning: groups of ", norm_group, " ranks (--sync-batch-norm-group) do not divide ",
                          group->world_size(), " rank(s): batch statistics span all of them"));
    if (initialised) {
      progress.say(concat(init_report.complete() ? "" : "warning: ", options.init, ": ", init_report.summary()));
      if (const auto detail = init_report.detail(); !detail.empty()) progress.say(detail);
    }
    if (iteration > 0) progress.say(concat("going on from step ", iteration, " in ", options.out));
    progress.say(concat(options.method, ", ", options.encoder.arch, " on ", environment.world_size, " rank(s), ",
                        device.str(), ", ", options.precision, ": ", last, " steps of ", options.batch_size,
                        " images, ", steps_per_epoch, " an epoch"));
  }

  StopSignal stop_signal;
  Throughput throughput(options.batch_size);
  std::int64_t replacements = 0;
  bool stopping = false, save_due = false, log_failed = false;  // agreed on by all ranks, but for the last
  auto saved_at = std::chrono::steady_clock::now();

  const auto kept = [&] {
    return newest_checkpoint(checkpoints) ? concat("; checkpoints up to then are in ", checkpoints) : std::string();
  };

  // Takes down a step's news, of all ranks and on all ranks. They are one step old, so that nobody waits for the device.
  std::optional<Pending> pending;
  const auto settle = [&] {
    if (!pending) return;
    const auto done = *std::exchange(pending, std::nullopt);
    const StepHealth health = done.exchange.read();
    const auto step = done.step.iteration;
    loss_now = health.loss;
    stopping = stopping || health.stop;
    save_due = save_due || health.save;

    auto line = done.line;
    line.update({{"step", step}, {"epoch", done.step.epoch}, {"loss", health.loss}, {"lr", done.lr}});
    for (const auto& [name, value] : health.diagnostics) line[name] = value;
    if (!health.finite) line["left_out"] = true;
    progress.update(step + 1, health.loss, throughput.recent(), throughput.recent_data_wait());
    if (lead && !log->step(line) && !std::exchange(log_failed, true))
      progress.say("warning: metrics.jsonl cannot be written (disk full?); training goes on");

    // A gradient that overflows under loss scaling is no fault: the scale is being found.
    if (!health.finite && !(scaler.enabled() && std::isfinite(health.loss))) {
      nlohmann::json indices = nlohmann::json::array();
      for (const auto& text : ssl::gather_texts(*group, nlohmann::json(done.indices).dump()))
        for (const auto& index : nlohmann::json::parse(text)) indices.push_back(index);
      if (lead)
        log->nonfinite({{"step", step}, {"epoch", done.step.epoch}, {"loss", health.loss}, {"indices", indices}});
      const bool within_budget = nonfinite.take(step);
      if (nonfinite.in_window() == 1 || !within_budget)
        progress.say(concat("warning: loss or gradients are not finite at step ", step,
                            ": the update is left out; its images are in ", options.out, "/nonfinite.jsonl"));
      if (!within_budget)
        throw MismatchError("loss or gradients were not finite in ", nonfinite.in_window(), " of the last ",
                            NonFiniteBudget::kWindow, " steps, up to step ", step, " (epoch ", done.step.epoch, ")",
                            kept(), ". Start anew with a lower --optimizer.lr",
                            precision.autocast() ? ", or with --precision float32" : "");
    }
    if (health.replaced == 0) return;
    for (const auto& object : gather_replacements(*group, done.replacements, step)) {
      const auto name = object.at("name").get<std::string>(), reason = object.at("reason").get<std::string>();
      if (lead) log->replaced(object);
      if (replacements++ == 0)
        progress.say(concat("warning: ", name, " cannot be read (", reason,
                            "); another image takes its place. All such are in ", options.out, "/replaced.jsonl"));
      if (!broken.take(object.at("index").get<std::int64_t>()))
        throw MismatchError("too many broken images: ", broken.count(), " of ", dataset->size(),
                            ", and --health.broken-budget is ", options.health.broken_budget, "; the last is ", name,
                            " (", reason, "), all are in ", options.out,
                            "/replaced.jsonl. Mend or remove them, or allow more", kept());
    }
  };

  // Written while training goes on. At an end it is waited for; without a checkpoint a run can go on, but not stop.
  const auto save = [&] {
    if (!state.finite())
      throw MismatchError("weights are not finite after step ", iteration, kept(),
                          ". Start anew with a lower --optimizer.lr");
    ssl::together(*group, [&] {
      if (!lead) return;
      log->flush();
      writer->start([&](CheckpointFiles& files) {
        pack(state.take(iteration, {{"nonfinite", nonfinite.state()}, {"broken", broken.state()}}), files);
      });
      if (!stopping && iteration < last) return;
      writer->wait();
      if (iteration == last) return;
      if (const auto failure = writer->failure(); !failure.empty()) throw Error(failure);
    });
    save_due = false;
    saved_at = std::chrono::steady_clock::now();
    throughput.resume(loader.seconds_waited());
  };
  const auto& every = options.checkpoint.every;
  const auto minutes_are_over = [&] {
    return every.minutes > 0 &&
           std::chrono::steady_clock::now() - saved_at > std::chrono::duration<double, std::ratio<60>>(every.minutes);
  };

  for (std::int64_t epoch = iteration / steps_per_epoch; iteration < last && !stopping; ++epoch) {
    const ssl::Epoch about{epoch, dataset->size()};
    if (iteration % steps_per_epoch == 0) method->before_epoch(about);
    data::Sampler order = sampler;
    if (auto own = method->order(about)) order.set_order(std::move(*own));
    loader.start(order, epoch, iteration % steps_per_epoch, std::min(steps_per_epoch, last - epoch * steps_per_epoch));

    while (iteration < std::min(last, (epoch + 1) * steps_per_epoch)) {
      std::optional<data::HostBatch> batch;
      ssl::together(*group, [&] { batch = loader.next(); });
      UNLABEL_INVARIANT(batch);
      const auto crops = data::collate_views(*batch);
      const auto indices = data::collate_indices(*batch);

      ssl::Step step{iteration, epoch, total, steps_per_epoch, 0, micro_steps};
      guard.before_forward();
      method->before_step(step);
      optimizer.zero_grad();
      StepNews news;
      news.loss = torch::zeros({}, torch::TensorOptions(torch::kFloat64).device(device));
      for (step.micro_step = 0; step.micro_step < micro_steps; ++step.micro_step) {
        const auto views = micro_batch(crops, indices, step.micro_step * micro_batch_size, micro_batch_size,
                                       precision.weights(), device, options.channels_last);
        parallel.before_forward(/*synchronize=*/step.micro_step + 1 == micro_steps);
        ssl::Loss loss;
        {
          const ssl::Autocast autocast(device.type(), precision.autocast());
          loss = method->loss(views, step);
        }
        loss.value = loss.value / micro_steps;
        parallel.backward(scaler.scale(loss.value));
        news.loss += loss.value.detach();
        add(news.diagnostics, loss.diagnostics, micro_steps);
      }
      news.stop = stop_signal.requested();
      news.save = lead && minutes_are_over();
      news.replaced = static_cast<std::int64_t>(batch->replacements.size());

      StepExchange exchange(*group, news);
      const auto finite = scaler.unscale(method->parameters()).logical_and(exchange.loss().isfinite());
      exchange.settle(finite);
      const double lr = schedule(iteration);
      guard.update(finite, [&] {
        method->before_update(step);
        optimizer.step(lr);
        method->after_step(step);
      });

      settle();
      ++iteration;
      throughput.step(loader.seconds_waited());
      pending.emplace(
          Pending{step, lr, std::move(exchange), std::move(batch->indices), std::move(batch->replacements)});
      pending->line["images_per_second"] = throughput.recent();
      pending->line["data_wait"] = throughput.recent_data_wait();
      if (iteration % steps_per_epoch == 0) {
        if (online_knn && (epoch + 1) % options.knn.every == 0) {
          const auto knn = (*online_knn)(*encoder, *group);
          pending->line["knn_accuracy"] = knn.accuracy;
          progress.say(concat("epoch ", epoch + 1, ": ", eval::describe(knn)));
        }
        settle();
        throughput.resume(loader.seconds_waited());
      }
      if (iteration == last || stopping || save_due || (every.steps > 0 && iteration % every.steps == 0)) {
        settle();
        save();
      }
      if (lead)
        if (const auto failure = writer->failure(); !failure.empty())
          progress.say(concat("warning: ", failure, "; training goes on without this checkpoint"));
      if (stopping) break;
    }
  }

  stopping = stopping && iteration < last;
  if (stopping) {
    progress.say(concat("stopped on request after step ", iteration, "; the same command goes on from there"));
    result.exit_code = 75;
  }
  if (replacements > 0)
    progress.say(concat("warning: broken images were replaced ", replacements, " times; they are named in ",
                        options.out, "/replaced.jsonl"));
  ssl::together(*group, [&] {
    if (lead && result.exit_code == 0)
      ssl::write_encoder(folder->file("encoder.safetensors"), *encoder, options.encoder, encoder_metadata(options));
  });
  result.summary = {{"method", options.method},
                    {"steps", iteration},
                    {"epochs", options.epochs},
                    {"batch_size", options.batch_size},
                    {"images_per_second", throughput.overall()},
                    {"data_wait", throughput.overall_data_wait()},
                    {"seconds", throughput.seconds()},
                    {"world_size", group->world_size()},
                    {"out", options.out}};
  result.summary["final_loss"] = std::isfinite(loss_now) ? nlohmann::json(loss_now) : nlohmann::json(nullptr);
  return result;
}

}  // namespace unlabel::launch
