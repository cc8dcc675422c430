#include <unlabel/augment/error.h>
#include <unlabel/data/atomic_file.h>
#include <unlabel/data/collate.h>
#include <unlabel/data/loader.h>
#include <unlabel/eval/online_knn.h>
#include <unlabel/eval/report.h>
#include <unlabel/launch/checkpoint.h>
#include <unlabel/launch/command_output.h>
#include <unlabel/launch/data_parallel.h>
#include <unlabel/launch/precision.h>
#include <unlabel/launch/pretrain.h>
#include <unlabel/launch/process_group.h>
#include <unlabel/launch/progress.h>
#include <unlabel/launch/run_folder.h>
#include <unlabel/launch/stop_signal.h>
#include <unlabel/launch/throughput.h>
#include <unlabel/launch/training_state.h>
#include <unlabel/ssl/autocast.h>
#include <unlabel/ssl/batch_norm.h>
#include <unlabel/ssl/cast.h>
#include <unlabel/ssl/weights.h>

#include <torch/types.h>

#include <cmath>
#include <set>

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

/// What the ranks tell each other about a step before they update: one all-reduce.
struct Health {
  double loss = 0;            ///< mean over ranks and micro-steps
  bool finite = true;         ///< on every rank
  bool stop = false;          ///< a signal on any rank
  std::int64_t replaced = 0;  ///< broken samples of this step
  std::vector<std::pair<std::string, double>> diagnostics;
};

Health exchange(const ssl::Group& group, const at::Tensor& loss,
                const std::vector<std::pair<std::string, at::Tensor>>& diagnostics, bool stop, std::int64_t replaced,
                int micro_steps) {
  const auto number = [&](double value) { return torch::full({}, value, loss.options()); };
  std::vector<at::Tensor> words{loss, number(stop), number(static_cast<double>(replaced))};
  for (const auto& [name, value] : diagnostics) words.push_back(value.to(torch::kFloat64) / micro_steps);
  auto word = torch::stack(words);
  group.all_reduce_sum(word);
  const auto values = word.cpu();
  const auto read = [&](std::int64_t i) { return values[i].item<double>(); };
  Health health;
  health.loss = read(0) / group.world_size();
  health.finite = std::isfinite(health.loss);
  health.stop = read(1) > 0;
  health.replaced = static_cast<std::int64_t>(read(2));
  for (std::size_t i = 0; i < diagnostics.size(); ++i)
    health.diagnostics.emplace_back(diagnostics[i].first, read(static_cast<std::int64_t>(i) + 3) / group.world_size());
  return health;
}

void add(std::vector<std::pair<std::string, at::Tensor>>& sums,
         const std::vector<std::pair<std::string, at::Tensor>>& more) {
  if (sums.empty()) {
    sums = more;
    return;
  }
  UNLABEL_INVARIANT(sums.size() == more.size());
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i].second = sums[i].second + more[i].second;
}

/// The broken samples of a step, of all ranks, on every rank. `total` is how many there are: mostly none, and then nothing is sent.
std::vector<nlohmann::json> gather_replacements(const ssl::Group& group, const data::HostBatch& batch,
                                                std::int64_t step, std::int64_t total) {
  if (total == 0) return {};
  nlohmann::json mine = nlohmann::json::array();
  for (const auto& item : batch.replacements)
    mine.push_back({{"step", step},
                    {"index", item.index},
                    {"name", item.name},
                    {"reason", item.reason},
                    {"replacement", item.replacement}});
  std::vector<nlohmann::json> all;
  for (const auto& text : ssl::gather_texts(group, mine.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)))
    for (auto& object : nlohmann::json::parse(text)) all.push_back(std::move(object));
  return all;
}

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

  // The run folder belongs to rank 0; every rank goes on from its newest checkpoint.
  std::unique_ptr<RunFolder> folder;
  std::unique_ptr<JsonLines> metrics, replaced;
  std::int64_t iteration = 0;
  std::vector<std::string> passed_over;
  const bool finished_before = newest.value_or(0) >= last;
  ssl::together(*group, [&] {
    if (!lead) return;
    folder = std::make_unique<RunFolder>(options.out, finished_before ? 0 : 3 * state.bytes());
    remove_unfinished_checkpoints(checkpoints);
  });
  ssl::together(*group, [&] { iteration = state.resume(checkpoints, passed_over); });
  const auto starts = ssl::gather_texts(*group, std::to_string(iteration));
  if (std::set<std::string>(starts.begin(), starts.end()).size() > 1)
    throw MismatchError("not every rank sees the same checkpoint in ", checkpoints,
                        "; --out must be one folder that all machines share");
  ssl::together(*group, [&] {
    if (!lead) return;
    JsonLines::cut(folder->file("metrics.jsonl"), "step", iteration);
    JsonLines::cut(folder->file("replaced.jsonl"), "step", iteration);
    metrics = std::make_unique<JsonLines>(folder->file("metrics.jsonl"));
    replaced = std::make_unique<JsonLines>(folder->file("replaced.jsonl"));
    if (iteration < last) data::write_file(folder->file("config.json"), json_text(config_json(options)));
  });
  DataParallel parallel(*method, group);  // after the weights are final: it keeps pointers to them

  Progress progress(lead, last, iteration, steps_per_epoch);
  PretrainResult result;
  for (const auto& reason : passed_over) progress.say("warning: a checkpoint is passed over: " + reason);
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
  double loss_now = std::nan("");
  std::int64_t replacements = 0;

  if (const auto line = lead && iteration >= last ? JsonLines::last(folder->file("metrics.jsonl")) : nlohmann::json();
      line.is_object())
    loss_now = line.value("loss", loss_now);

  const auto kept = [&] {
    return newest_checkpoint(checkpoints) ? concat("; checkpoints up to then are in ", checkpoints) : std::string();
  };
  // Without a checkpoint a run can go on, but not stop.
  const auto save = [&](bool stopping) {
    if (!state.finite())
      throw MismatchError("weights are not finite after step ", iteration, kept(),
                          ". Start anew with a lower --optimizer.lr");
    ssl::together(*group, [&] {
      if (!lead) return;
      try {
        write_checkpoint(checkpoints, state.take(iteration), options.checkpoint.keep);
      } catch (const Error& error) {
        if (stopping) throw;
        progress.say(concat("warning: ", error.what(), "; training goes on without this checkpoint"));
      }
    });
  };

  for (std::int64_t epoch = iteration / steps_per_epoch; iteration < last; ++epoch) {
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
      method->before_step(step);
      optimizer.zero_grad();
      auto loss_sum = torch::zeros({}, torch::TensorOptions(torch::kFloat64).device(device));
      std::vector<std::pair<std::string, at::Tensor>> diagnostics;
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
        loss_sum += loss.value.detach();
        add(diagnostics, loss.diagnostics);
      }

      const Health health = exchange(*group, loss_sum, diagnostics, stop_signal.requested(),
                                     static_cast<std::int64_t>(batch->replacements.size()), micro_steps);
      if (!health.finite)
        throw MismatchError("the loss is not finite at step ", iteration, " (epoch ", epoch, ")", kept(),
                            ". Start anew with a lower --optimizer.lr",
                            precision.autocast() ? ", or with --precision float32" : "");
      const double lr = schedule(iteration);
      method->before_update(step);
      if (scaler.unscale(method->parameters())) optimizer.step(lr);
      method->after_step(step);

      ++iteration;
      loss_now = health.loss;
      throughput.step(loader.seconds_waited());
      nlohmann::json line = {{"step", step.iteration}, {"epoch", epoch}, {"loss", health.loss}, {"lr", lr}};
      for (const auto& [name, value] : health.diagnostics) line[name] = value;
      line["images_per_second"] = throughput.recent();
      line["data_wait"] = throughput.recent_data_wait();
      progress.update(iteration, health.loss, throughput.recent(), throughput.recent_data_wait());
      if (iteration % steps_per_epoch == 0) {
        if (online_knn && (epoch + 1) % options.knn.every == 0) {
          const auto knn = (*online_knn)(*encoder, *group);
          line["knn_accuracy"] = knn.accuracy;
          progress.say(concat("epoch ", epoch + 1, ": ", eval::describe(knn)));
        }
        throughput.resume(loader.seconds_waited());
      }
      for (const auto& object : gather_replacements(*group, *batch, step.iteration, health.replaced)) {
        if (lead) replaced->append(object);
        if (replacements++ == 0)
          progress.say(concat("warning: ", object.at("name").get<std::string>(), " cannot be read (",
                              object.at("reason").get<std::string>(),
                              "); another image takes its place. All such are in ", options.out, "/replaced.jsonl"));
      }
      if (lead && !metrics->append(line))
        progress.say("warning: metrics.jsonl cannot be written (disk full?); training goes on");

      const bool stopping = health.stop && iteration < last;
      if (stopping || iteration == last ||
          (options.checkpoint.every > 0 && iteration % options.checkpoint.every == 0)) {
        save(stopping);
        throughput.resume(loader.seconds_waited());
      }
      if (stopping) {
        progress.say(concat("stopped on request after step ", iteration, "; the same command goes on from there"));
        result.exit_code = 75;
        break;
      }
    }
    if (result.exit_code != 0) break;
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
