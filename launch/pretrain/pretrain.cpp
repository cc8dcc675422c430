#include <unlabel/augment/error.h>
#include <unlabel/augment/exception_text.h>
#include <unlabel/data/device_copy.h>
#include <unlabel/data/file_list.h>
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/data/loader.h>
#include <unlabel/eval/protocols/online_knn.h>
#include <unlabel/eval/report/report.h>
#include <unlabel/eval/test_set.h>
#include <unlabel/launch/checkpoint/checkpoint.h>
#include <unlabel/launch/checkpoint/checkpoint_writer.h>
#include <unlabel/launch/distributed/agreement.h>
#include <unlabel/launch/distributed/arithmetic.h>
#include <unlabel/launch/distributed/data_parallel.h>
#include <unlabel/launch/distributed/main_setup.h>
#include <unlabel/launch/distributed/process_group.h>
#include <unlabel/launch/distributed/shared_data.h>
#include <unlabel/launch/pretrain/initial_weights.h>
#include <unlabel/launch/pretrain/precision.h>
#include <unlabel/launch/pretrain/pretrain.h>
#include <unlabel/launch/pretrain/step_guard.h>
#include <unlabel/launch/pretrain/step_journal.h>
#include <unlabel/launch/pretrain/training_state.h>
#include <unlabel/launch/run/command_output.h>
#include <unlabel/launch/run/progress.h>
#include <unlabel/launch/run/run_folder.h>
#include <unlabel/launch/run/run_log.h>
#include <unlabel/launch/run/stop_signal.h>
#include <unlabel/launch/run/throughput.h>
#include <unlabel/ssl/group.h>
#include <unlabel/ssl/layers/batch_norm.h>
#include <unlabel/ssl/layers/dropout.h>
#include <unlabel/ssl/layers/running_statistics.h>
#include <unlabel/ssl/monitor/spread.h>
#include <unlabel/ssl/optim/autocast.h>
#include <unlabel/ssl/optim/cast.h>
#include <unlabel/ssl/optim/parameter_groups.h>
#include <unlabel/ssl/weights/weights.h>

#include <ATen/Parallel.h>
#include <malloc.h>
#include <torch/types.h>

#include <chrono>
#include <cmath>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <thread>
#include <utility>

namespace unlabel::launch {

namespace {

constexpr std::int64_t kWideForCpu = 64;
/// For narrower ResNets in channels_last, LibTorch 2.11 writes beyond its memory in the gradient of strided 1 x 1 convolutions on a CPU
/// (oneDNN's jit_1x1 in float32, jit_bf16_1x1 in bf16).
constexpr std::int64_t kNarrowestChannelsLast = 16;
constexpr int kFolderAttempts = 10;  ///< a second apart

/// Thrown by a pass over the data that a signal ended, on all ranks alike.
struct StopRequested {};

/// Thrown on all ranks alike when training cannot go on although its weights are sound: what was learned is to be saved first.
struct AgreedEnd {
  std::exception_ptr cause;  ///< null: the journal's failure()
};

/// Rows [first, first + size) of a batch, in the type and layout of training: made from float32 where the batch is.
ssl::Views micro_batch(const data::DeviceBatch& batch, std::int64_t first, std::int64_t size, at::ScalarType type,
                       bool channels_last) {
  ssl::Views views;
  for (const auto& view : batch.views)
    views.crops.push_back(view.narrow(0, first, size)
                              .to(view.options().dtype(type), /*non_blocking=*/false, /*copy=*/false,
                                  channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous));
  views.indices = batch.indices.narrow(0, first, size);
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

/// kNN on the labelled splits of the data, when it is asked for.
std::unique_ptr<eval::OnlineKnn> make_online_knn(const PretrainOptions& options,
                                                 std::shared_ptr<const data::Dataset> train, at::Device device,
                                                 const ssl::Group& group, Warnings& warnings) {
  if (options.knn.every <= 0) return nullptr;
  auto test = eval::labelled_by_folder(open_on_all_ranks(options.data, data::Split::kTest, group, options.timeout),
                                       train->class_names());
  for (const auto& note : test->notes()) warnings.add(note);
  eval::SharedImages shared;
  run_on_first_rank(group, options.timeout, [&] { shared = eval::find_shared_images(*train, *test); });
  if (const auto doubt = shared.sentence(); !doubt.empty()) warnings.add("kNN while training: " + doubt);
  eval::OnlineKnnOptions online;
  online.train_images = options.knn.train_images;
  online.test_images = options.knn.test_images;
  online.knn.protocol = options.knn.protocol;
  online.knn.device = online.features.device = device.str();
  online.features.decode = options.decode;
  online.features.patience = data::patience_of(std::chrono::seconds(options.timeout));
  online.features.broken = "skip";  // training goes on without broken images, and so does this
  auto knn = std::make_unique<eval::OnlineKnn>(std::move(train), std::move(test),
                                               augment::evaluation_view(make_views(options)), online);
  for (const auto& warning : knn->warnings()) warnings.add("kNN while training: " + warning);
  return knn;
}

/// How many ranks, of those that divide the world, share batch statistics: as few as hold that many images; 0 images: all.
int norm_ranks(std::int64_t images, std::int64_t rank_images, int world_size) {
  if (images == 0) return world_size;
  int ranks = 1;
  while (ranks < world_size && (world_size % ranks != 0 || ranks * rank_images < images)) ++ranks;
  return ranks;
}

/// The next batch, when there is one on every rank; else AgreedEnd, or StopRequested.
std::optional<data::HostBatch> next_batch(data::Loader& loader, const ssl::Group& group) {
  std::optional<data::HostBatch> batch;
  try {
    ssl::together(group, [&] {
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

data::LoaderOptions loader_options(const PretrainOptions& options, const Environment& environment, at::Device device) {
  data::LoaderOptions loading;
  loading.seed = options.seed;
  loading.threads = options.threads >= 0 ? options.threads
                                         : default_threads(environment, augment::usable_processors(),
                                                           /*processors_compute=*/device.is_cpu());
  loading.decode = options.decode;
  loading.allocate = data::pinned_memory(device);
  loading.patience = data::patience_of(std::chrono::seconds(options.timeout));
  loading.give_up = StopSignal::requested;
  return loading;
}

/// A pretraining run. Its parts are made in the order of the members: first what options alone decide; then what ranks agree on, and the
/// network, the same on every rank; then what the run folder holds, where the newest checkpoint is loaded.
class Run {
 public:
  Run(const ResolvedOptions& resolved, const Environment& environment)
      : resolved_(resolved), environment_(environment) {}

  PretrainResult go();

 private:
  std::shared_ptr<const ssl::Group> join();
  std::optional<std::int64_t> agree() const;
  std::shared_ptr<ssl::Method> make_method();
  std::unique_ptr<RunFolder> open_folder();
  TrainingState::Resumed resume();
  std::unique_ptr<RunLog> open_log();
  std::unique_ptr<CheckpointWriter> make_writer();
  void announce();
  void read_samples(std::int64_t epoch, const augment::MultiCrop& views, const std::vector<std::int64_t>& samples,
                    std::int64_t batch_size, std::int64_t& passed,
                    const std::function<void(const ssl::Views&)>& visit) const;
  void train_epoch(std::int64_t epoch);
  StepNews forward_and_backward(const data::DeviceBatch& batch, ssl::Step step);
  MadeStep make_step(data::HostBatch batch, const ssl::Step& step);
  void measure_knn(std::int64_t epoch, nlohmann::json& line);
  bool saving_minutes_are_over() const;
  bool stops() const { return journal_.stop() || stopped_between_steps_; }
  std::string keep_other_encoder() const;
  void require_folder();
  void save();
  void save_before_the_end();
  void wait_for_writer();
  void judge_range(bool at_end);
  double logged_loss() const;

  const ResolvedOptions& resolved_;
  Environment environment_;
  PretrainOptions options_ = resolved_.options;  ///< once ranks have met, with the precision that they agree on
  /// Ranks that wait for one of them hear in between that it goes on: they give up after --timeout.
  const std::chrono::milliseconds pause_ = heartbeat(options_.timeout);

  const at::Device device_ = choose_device(options_.device, environment_);
  const std::shared_ptr<const data::Dataset> dataset_ = resolved_.dataset;
  const data::Sampler sampler_{dataset_->size(), options_.batch_size, options_.seed, environment_.rank,
                               environment_.world_size};
  const std::int64_t micro_batch_ = micro_batch_size(options_, sampler_, environment_.world_size);
  const std::int64_t steps_per_epoch_ = sampler_.steps_per_epoch();
  const std::int64_t total_ = options_.epochs * steps_per_epoch_;  ///< iterations that the schedules span
  const std::int64_t last_ = std::min(total_, options_.max_steps.value_or(total_));
  const ssl::Schedule schedule_{options_.schedule, options_.optimizer.lr, steps_per_epoch_, total_};
  const augment::MultiCrop views_ = make_views(options_);
  bool range_judged_ = false;

  const std::shared_ptr<const ssl::Group> group_ = join();
  data::Loader loader_{dataset_, views_, loader_options(options_, environment_, device_)};
  Warnings early_warnings_{/*printed=*/false};  ///< before the progress can say them
  const bool lead_ = group_->rank() == 0;
  const std::string precision_note_ = settle_precision(*group_, device_, options_.precision);
  const Precision precision_{options_.precision};
  const bool channels_last_ =
      options_.channels_last && !(device_.is_cpu() && options_.encoder.width < kNarrowestChannelsLast);
  const std::string checkpoints_ = options_.out + "/checkpoints";
  const std::string file_list_ = options_.out + "/data_files.gz";
  const std::uint64_t fingerprint_ = dataset_->fingerprint();  ///< of a million files it takes a moment
  const std::optional<std::int64_t> newest_ = agree();
  // Ranks must have agreed on the settings before: without kNN there is nothing that they do together here.
  const std::unique_ptr<eval::OnlineKnn> online_knn_ =
      make_online_knn(options_, dataset_, device_, *group_, early_warnings_);
  const int norm_ranks_ = norm_ranks(options_.batch_norm_images, micro_batch_, group_->world_size());

  std::optional<ssl::LoadReport> init_report_;  ///< of --init, when the run starts from it
  const std::shared_ptr<ssl::Method> method_ = make_method();
  ssl::Optimizer optimizer_{method_->parameter_groups(), options_.optimizer};
  LossScaler scaler_{precision_.scales_loss(), device_};
  StepGuard guard_{*method_, optimizer_, /*deferred=*/!device_.is_cpu()};

  // The folder, the log and the writer are rank 0's alone.
  TrainingState state_{*method_,
                       optimizer_,
                       scaler_,
                       options_,
                       *dataset_,
                       fingerprint_,
                       group_->world_size(),
                       gather_arithmetic(*group_)};
  const std::unique_ptr<RunFolder> folder_ = open_folder();
  const TrainingState::Resumed resumed_ = resume();
  std::int64_t iteration_ = resumed_.iteration;  ///< updates made
  std::int64_t saved_ = resumed_.iteration;      ///< those that a checkpoint is known to have
  const std::unique_ptr<RunLog> log_ = open_log();
  const std::unique_ptr<CheckpointWriter> writer_ = make_writer();
  Progress progress_{lead_, last_, iteration_, steps_per_epoch_};
  StepJournal journal_{{*group_, options_, dataset_->size(), total_, method_->collapse_signs(), progress_, log_.get()}};
  DataParallel parallel_{*method_, group_};  ///< after the weights are final: it keeps pointers to them

  data::BatchCopier copier_{device_};
  StopSignal stop_signal_;
  /// By a signal, in a pass over the data before an epoch or while a disk was waited for.
  bool stopped_between_steps_ = false;
  std::string unsaved_;  ///< of rank 0: why the last step has no checkpoint
  bool ending_ = false;  ///< by an AgreedEnd
  Throughput throughput_{options_.batch_size};
  std::chrono::steady_clock::time_point saved_at_ = std::chrono::steady_clock::now();
};

std::shared_ptr<const ssl::Group> Run::join() {
  use_share_of_cores(environment_, *resolved_.group);
  return resolved_.group;
}

/// Not a MismatchError: a file system between machines may show what it did not when the run is started again.
[[noreturn]] void refuse_different_checkpoints(const std::string& folder) {
  throw Error("not every rank sees the same checkpoint in ", folder,
              "; --out must be one folder that all machines share");
}

/// The newest checkpoint, when every rank sees the same one; without that they would drift apart unseen, or wait for each other for ever.
std::optional<std::int64_t> Run::agree() const {
  std::optional<std::int64_t> newest;
  ssl::together(*group_, [&] { newest = newest_checkpoint(checkpoints_); });
  // Between machines a folder's list may be some seconds old.
  const auto all_see_it = [&] {
    const auto seen = ssl::gather_texts(*group_, std::to_string(newest.value_or(-1)));
    return std::set<std::string>(seen.begin(), seen.end()).size() == 1;
  };
  for (int attempt = 0; attempt < kFolderAttempts && !all_see_it(); ++attempt) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    ssl::together(*group_, [&] { newest = newest_checkpoint(checkpoints_); });
  }
  if (!all_see_it()) refuse_different_checkpoints(checkpoints_);
  return newest;
}

std::shared_ptr<ssl::Method> Run::make_method() {
  torch::manual_seed(options_.seed);
  auto method =
      ssl::make_method(options_.method, options_.methods,
                       {options_.encoder, dataset_->size(), options_.batch_size, micro_batch_, options_.seed, group_});
  ssl::require_views(*method, views_);
  if (!options_.init.empty() && !newest_) {
    init_report_.emplace();
    ssl::together(*group_, [&] {
      *init_report_ = start_from(options_.init, method->encoder(), options_.encoder, options_.init_partial);
    });
  }
  ssl::move_to(*method, device_);
  ssl::to_float_dtype(*method, precision_.weights());
  if (channels_last_) ssl::to_channels_last(*method);
  ssl::set_batch_norm_group(*method, group_->subgroup(norm_ranks_));
  method->train();
  ssl::check_parameter_groups(*method, method->parameter_groups());
  return method;
}

std::unique_ptr<RunFolder> Run::open_folder() {
  std::unique_ptr<RunFolder> folder;
  ssl::long_together(*group_, pause_, [&] {
    if (!lead_) return;
    // Room for the checkpoints that are kept and for one more while it is written, less those that are there.
    const auto there = static_cast<std::int64_t>(list_checkpoints(checkpoints_).size());
    const auto missing = std::max<std::int64_t>(1, options_.checkpoint.keep + 1 - there);
    const bool finished = newest_.value_or(0) >= last_;
    folder = std::make_unique<RunFolder>(options_.out, finished ? 0 : missing * state_.bytes(), newest_.has_value());
    remove_unfinished_checkpoints(checkpoints_);
  });
  return folder;
}

TrainingState::Resumed Run::resume() {
  TrainingState::Resumed resumed;
  ssl::long_together(*group_, pause_, [&] { resumed = state_.resume(checkpoints_, file_list_); });
  const auto starts = ssl::gather_texts(*group_, std::to_string(resumed.iteration));
  if (std::set<std::string>(starts.begin(), starts.end()).size() > 1) refuse_different_checkpoints(checkpoints_);
  ssl::together(*group_, [&] {
    if (lead_ && !resumed.skipped.empty()) set_damaged_aside(checkpoints_, resumed.iteration);
  });
  return resumed;
}

std::unique_ptr<RunLog> Run::open_log() {
  std::unique_ptr<RunLog> log;
  ssl::long_together(*group_, pause_, [&] {
    if (!lead_) return;
    const std::string config = folder_->file("config.json");
    if (iteration_ < last_ || !std::filesystem::exists(config))
      data::write_file(config, json_text(config_json(options_)));
    if (iteration_ >= last_) return;
    if (!newest_ && data::exists(folder_->file("metrics.jsonl")))
      early_warnings_.add(
          concat("the run in ", options_.out,
                 " had not come to its first checkpoint: it begins anew, by the settings of this command"));
    if (const auto kept = keep_other_encoder(); !kept.empty()) early_warnings_.add(kept);
    std::filesystem::remove(folder_->file("encoder.safetensors"));  // of a shorter run, which this one goes on with
    log = std::make_unique<RunLog>(*folder_, iteration_);
    if (iteration_ == 0) data::write_file_list(file_list_, *dataset_);
  });
  return log;
}

/// Renames an encoder.safetensors that is not of the step where the run stands, and says where it is now.
std::string Run::keep_other_encoder() const {
  const auto aside = state_.set_other_encoder_aside(folder_->file("encoder.safetensors"));
  return aside.empty() ? ""
                       : concat("encoder.safetensors is not of the step where the run stands: it is kept as ", aside);
}

std::unique_ptr<CheckpointWriter> Run::make_writer() {
  if (!lead_ || iteration_ >= last_) return nullptr;
  // A checkpoint says that the steps before it are done, so the log of them comes first.
  return std::make_unique<CheckpointWriter>(
      checkpoints_, Retention{options_.checkpoint.keep, options_.checkpoint.keep_every}, [this] {
        folder_->require_ours();
        log_->flush();
      });
}

void Run::announce() {
  if (folder_ && !folder_->warning().empty()) progress_.warn(folder_->warning());
  for (const auto& reason : resumed_.skipped) progress_.warn("a checkpoint is passed over: " + reason);
  if (iteration_ >= last_) {
    progress_.say(iteration_ >= total_
                      ? concat("finished: all ", iteration_, " steps are done in ", options_.out,
                               "; for a new run choose another --out")
                      : concat("the run in ", options_.out, " stands at step ", iteration_, " of ", total_,
                               " and --max-steps is ", last_, ": nothing to do; without --max-steps it goes on"));
    return;
  }
  progress_.say(dataset_->description());
  for (const auto& [setting, value, reason] : resolved_.choices)
    if (iteration_ == 0) progress_.say(concat("  --", with_dashes(setting), " ", value, ": ", reason));
  if (!precision_note_.empty()) progress_.say(precision_note_);
  for (const auto& line : resolved_.warnings) progress_.warn(line);
  for (const auto& line : early_warnings_.sentences()) progress_.warn(line);
  if (const auto slow = lead_ ? slow_precision_warning(options_.precision, device_) : ""; !slow.empty())
    progress_.warn(slow);
  if (device_.is_cpu())
    if (const auto note =
            idle_cores_note(environment_, augment::usable_processors(), at::get_num_threads(), environment_variable);
        !note.empty())
      progress_.say("note: " + note);
  if (device_.is_cpu() && options_.encoder.width >= kWideForCpu)
    progress_.warn(concat("a ", options_.encoder.arch, " of width ", options_.encoder.width,
                          " takes long on a CPU; --encoder.width 16 is about ten times faster"));
  const auto normed = norm_ranks_ * micro_batch_;
  if (const auto images = options_.batch_norm_images; images > 1 && images != normed)
    progress_.warn(concat("batch statistics are of ", normed, " images and not of ", images, " (--batch-norm-images): ",
                          group_->world_size(), " rank(s) with ", micro_batch_, " images each at once come no nearer"));
  if (const auto micro_steps = sampler_.local_batch() / micro_batch_; micro_steps > 1) {
    const auto note = method_->accumulation_note(micro_batch_ * group_->world_size());
    progress_.say(concat(micro_steps, " micro-batches of ", micro_batch_, " images a rank make an update of ",
                         options_.batch_size,
                         ". Unchanged: learning rate, schedules, weight decay, target networks. Changed: batch "
                         "statistics are of ",
                         normed, " images", note.empty() ? "" : "; " + note));
  }
  if (init_report_) {
    const auto loaded = concat(options_.init, ": ", init_report_->summary());
    init_report_->complete() ? progress_.say(loaded) : progress_.warn(loaded);
    if (const auto detail = init_report_->detail(); !detail.empty()) progress_.say(detail);
  }
  if (iteration_ > 0) {
    progress_.say(
        concat("going on from step ", iteration_, " in ", options_.out, ", in ", options_.precision, " as it began"));
    if (const auto changes = arithmetic_changes(resumed_.arithmetic, state_.arithmetic);
        device_.is_cpu() && !changes.empty())
      progress_.warn(concat(changes,
                            " (OMP_NUM_THREADS, another processor or other variables of oneDNN and MKL): from here on "
                            "the last digits differ from an undisturbed run's"));
    if (resumed_.world_size != group_->world_size())
      progress_.warn(concat("the run before had ", resumed_.world_size, " rank(s) and this one has ",
                            group_->world_size(), ": from here on the last digits differ from an undisturbed run's",
                            micro_batch_ < sampler_.local_batch()
                                ? ", and with --micro-batch so do the samples that are seen at once"
                                : ""));
  }
  if (const auto other = arithmetic_differences(state_.arithmetic); device_.is_cpu() && !other.empty())
    progress_.warn(concat(
        "ranks compute differently, ", other,
        ": their weights may come to differ in the last digits; give all the same OMP_NUM_THREADS and processors"));
  progress_.say(concat(options_.method, ", ", options_.encoder.arch, " on ", environment_.world_size, " rank(s), ",
                       device_.str(), ", ", options_.precision, ": ", last_, " steps of ", options_.batch_size,
                       " images, ", steps_per_epoch_, " an epoch"));
}

StepNews Run::forward_and_backward(const data::DeviceBatch& batch, ssl::Step step) {
  const auto micro_views = [&](int micro_step) {
    ssl::set_dropout_key(*method_,
                         {options_.seed, static_cast<std::uint64_t>(step.iteration * step.micro_steps + micro_step), 0,
                          group_->rank(), group_->world_size()});
    return micro_batch(batch, micro_step * micro_batch_, micro_batch_, precision_.weights(), channels_last_);
  };
  if (step.micro_steps > 1) {
    const ssl::Autocast autocast(device_.type(), precision_.autocast());
    method_->before_micro_steps(micro_views, step);
  }
  StepNews news;
  news.loss = torch::zeros({}, torch::TensorOptions(torch::kFloat64).device(device_));
  std::vector<at::Tensor> embeddings;
  for (step.micro_step = 0; step.micro_step < step.micro_steps; ++step.micro_step) {
    const auto views = micro_views(step.micro_step);
    parallel_.before_forward(/*synchronize=*/step.micro_step + 1 == step.micro_steps);
    ssl::Loss loss;
    {
      const ssl::Autocast autocast(device_.type(), precision_.autocast());
      loss = method_->loss(views, step);
    }
    loss.value = loss.value / step.micro_steps;
    parallel_.backward(scaler_.scale(loss.value));
    news.loss += loss.value.detach();
    add(news.diagnostics, loss.diagnostics, step.micro_steps);
    if (loss.embeddings.defined()) embeddings.push_back(loss.embeddings);
  }
  if (!embeddings.empty() && journal_.watches(step.iteration)) {
    const auto spread = ssl::measure_spread(group_->all_gather(at::cat(embeddings).contiguous()));
    news.diagnostics.emplace_back("feature_spread", spread.deviation);
    news.gram = spread.gram;
  }
  return news;
}

/// A run does not end because it could not be measured.
void Run::measure_knn(std::int64_t epoch, nlohmann::json& line) {
  try {
    const auto knn = (*online_knn_)(method_->encoder(), *group_);
    line["knn_accuracy"] = knn.accuracy;
    progress_.say(concat("epoch ", epoch + 1, ": ", eval::describe(knn)));
  } catch (const ssl::LostRankError&) {
    throw;
  } catch (const std::exception& error) {
    // An Error comes to all ranks alike. Of LibTorch's own, as for too little memory, the others know nothing: this rank ends.
    if (group_->world_size() > 1 && !dynamic_cast<const Error*>(&error)) throw;
    progress_.warn(concat("epoch ", epoch + 1, ": no kNN accuracy: ", exception_text(error)));
  }
#ifdef __GLIBC__
  ::malloc_trim(0);  // the bank's blocks, freed between others of all sizes, would stay: 1 to 5 MiB an epoch at first
#endif
}

MadeStep Run::make_step(data::HostBatch batch, const ssl::Step& step) {
  // A GPU is at work on the step before, so that this copy takes none of its time.
  const auto on_device = copier_(batch);
  guard_.before_forward();
  method_->before_step(step);
  optimizer_.zero_grad();
  StepNews news = forward_and_backward(on_device, step);
  if (scaler_.enabled()) news.diagnostics.emplace_back("loss_scale", scaler_.factor().reshape({}).clone());
  news.stop = StopSignal::requested();
  news.save = lead_ && saving_minutes_are_over();
  news.replaced = static_cast<std::int64_t>(batch.replacements.size());

  StepExchange exchange(*group_, news);
  const auto finite = scaler_.unscale(method_->parameters()).logical_and(exchange.loss().isfinite());
  exchange.settle(finite);
  const double lr = schedule_(step.iteration);
  guard_.update(finite, [&] {
    ssl::average_running_statistics(*method_, *group_);
    method_->before_update(step);
    optimizer_.step(lr);
    auto after = step;
    after.stands = finite;
    method_->after_step(after);
  });
  return {step, lr, std::move(exchange), std::move(batch.indices), std::move(batch.replacements)};
}

/// Views outside of training steps, for methods that look at all of the data. Ranks read as many batches each. `passed` counts them in this
/// epoch.
void Run::read_samples(std::int64_t epoch, const augment::MultiCrop& views, const std::vector<std::int64_t>& samples,
                       std::int64_t batch_size, std::int64_t& passed,
                       const std::function<void(const ssl::Views&)>& visit) const {
  data::Loader loader(dataset_, views, loader_options(options_, environment_, device_));
  data::BatchCopier copier(device_);
  // No epoch of training has this number, so that the views are others than those that it trains on.
  loader.start(samples, batch_size, ~epoch);
  for (;;) {
    const auto batch = next_batch(loader, *group_);
    if (!batch) return;
    if (ssl::any_rank(*group_, StopSignal::requested())) throw StopRequested();
    ssl::set_dropout_key(*method_, {options_.seed, ssl::round_outside_of_steps(epoch, passed++), 0, group_->rank(),
                                    group_->world_size()});
    const auto views_of_all = micro_batch(copier(*batch), 0, static_cast<std::int64_t>(batch->indices.size()),
                                          precision_.weights(), channels_last_);
    const ssl::Autocast autocast(device_.type(), precision_.autocast());
    visit(views_of_all);
  }
}

void Run::train_epoch(std::int64_t epoch) {
  std::int64_t passed = 0;
  const ssl::Epoch about{epoch, dataset_.get(), &views_,
                         [&](const auto& views, const auto& samples, std::int64_t batch_size, const auto& visit) {
                           read_samples(epoch, views, samples, batch_size, passed, visit);
                         }};
  const auto begin = epoch * steps_per_epoch_, end = std::min(last_, begin + steps_per_epoch_);
  std::map<std::string, double> news;
  throughput_.resume(loader_.seconds_waited());
  if (iteration_ == begin) {
    guard_.before_forward();
    try {
      for (const auto& [name, value] : method_->before_epoch(about)) news[name] = value.item<double>();
    } catch (const StopRequested&) {  // as if the epoch had not begun: the run that goes on begins it
      guard_.take_back_buffers();
      stopped_between_steps_ = true;
      save();
      return;
    } catch (const AgreedEnd&) {
      guard_.take_back_buffers();
      throw;
    }
  }
  data::Sampler order = sampler_;
  if (auto own = method_->order(about)) order.set_order(std::move(*own));
  ssl::together(*group_, [&] { loader_.start(order, epoch, iteration_ - begin, end - begin); });

  while (iteration_ < end && !stops()) {
    std::optional<data::HostBatch> batch;
    try {
      batch = next_batch(loader_, *group_);
    } catch (const StopRequested&) {
      journal_.settle();
      stopped_between_steps_ = true;
      save();
      if (!journal_.failure().empty()) throw AgreedEnd();
      return;
    }
    UNLABEL_INVARIANT(batch);
    const int micro_steps = static_cast<int>(sampler_.local_batch() / micro_batch_);
    auto made = make_step(std::move(*batch), {iteration_, epoch, total_, steps_per_epoch_, 0, micro_steps});
    ++iteration_;
    throughput_.step(loader_.seconds_waited());
    judge_range(/*at_end=*/iteration_ == last_);
    made.line["images_per_second"] = throughput_.recent();
    made.line["data_wait"] = throughput_.recent_data_wait();
    made.epoch_news = std::exchange(news, {});

    if (iteration_ % steps_per_epoch_ == 0 && online_knn_ && (epoch + 1) % options_.knn.every == 0) {
      measure_knn(epoch, made.line);
      throughput_.resume(loader_.seconds_waited());
    }
    journal_.add(std::move(made));
    if (iteration_ == end) journal_.settle();
    if (!journal_.failure().empty()) throw AgreedEnd();
    const auto every = options_.checkpoint.every.steps;
    if (iteration_ == last_ || stops() || journal_.save_due() || (every > 0 && iteration_ % every == 0)) {
      journal_.settle();
      save();
      if (!journal_.failure().empty()) throw AgreedEnd();
    }
    if (lead_)
      if (const auto failure = writer_->failure(); !failure.empty())
        progress_.warn(concat(failure, "; training goes on without this checkpoint"));
  }
}

/// Says once that images of 16 bits lose most of their levels: early, while there is time to start anew, but not by a few dark ones.
void Run::judge_range(bool at_end) {
  constexpr std::int64_t kEnough = 100;
  if (range_judged_) return;
  const auto decoded = loader_.decoded();
  if (decoded.deep_images < kEnough && !at_end) return;
  range_judged_ = true;
  if (const auto warning = augment::range_warning(decoded); !warning.empty()) progress_.warn(warning);
}

bool Run::saving_minutes_are_over() const {
  const std::chrono::duration<double, std::ratio<60>> since = std::chrono::steady_clock::now() - saved_at_;
  const double minutes = options_.checkpoint.every.minutes;
  return minutes > 0 && since.count() > minutes;
}

/// Until nothing is being written.
void Run::wait_for_writer() {
  while (ssl::any_rank(*group_, lead_ && !writer_->wait_for(pause_))) {
  }
}

/// Throws Error when the run folder has gone, or is another run's now.
void Run::require_folder() {
  try {
    folder_->require_ours();
  } catch (const IoError&) {
    throw;
  } catch (const Error& error) {
    progress_.warn(error.what());
    throw Error("stopped after step ", iteration_, ": the run folder ", options_.out, " is this run's no longer");
  }
}

// Written while training goes on. At an end it is waited for; without a checkpoint a run can go on, but not stop.
void Run::save() {
  const auto grown = method_->data_state();
  const bool needed = stops() || ending_ || iteration_ == last_;
  if (needed) wait_for_writer();  // of the checkpoint before
  ssl::together(*group_, [&] {
    if (!state_.finite())
      throw MismatchError("weights are not finite after step ", iteration_, journal_.kept(),
                          ". Start anew with a lower --optimizer.lr");
    if (!lead_) return;
    require_folder();
    if (!needed && !writer_->wait_for(pause_)) {
      progress_.warn("the last checkpoint is still being written (a slow disk?); this one is left out");
      return;
    }
    writer_->start([&](CheckpointFiles& files) { pack(state_.take(iteration_, grown, journal_.state()), files); });
  });
  if (needed) {
    wait_for_writer();
    ssl::together(*group_, [&] {
      if (!lead_) return;
      auto failure = writer_->failure();
      if (iteration_ == last_)  // the encoder comes first
        unsaved_ = std::move(failure);
      else if (!failure.empty())
        throw Error(failure);
    });
  }
  if (needed) saved_ = iteration_;  // others may have been left out
  journal_.saved();
  saved_at_ = std::chrono::steady_clock::now();
  throughput_.resume(loader_.seconds_waited());
}

/// Keeps what was learned when training cannot go on. That this fails is told, and does not hide why the run ends.
void Run::save_before_the_end() {
  ending_ = true;
  try {
    journal_.settle();
    if (iteration_ == saved_) return;
    save();
    progress_.say(concat("saved at step ", iteration_, ", where training cannot go on"));
  } catch (const Error& error) {
    progress_.warn(concat("no checkpoint of step ", iteration_, ": ", error.what()));
  }
}

double Run::logged_loss() const {
  const auto line = JsonLines::last(folder_->file("metrics.jsonl"));
  const auto loss = line.is_object() ? line.value("loss", nlohmann::json()) : nlohmann::json();
  return loss.is_number() ? loss.get<double>() : std::nan("");
}

PretrainResult Run::go() {
  if (online_knn_) online_knn_->use_precision(options_.precision == "float64" ? "float32" : options_.precision);
  if (iteration_ > 0) journal_.load_state(resumed_.health);
  announce();
  const bool had_finished = iteration_ >= last_;
  try {
    for (auto epoch = iteration_ / steps_per_epoch_; iteration_ < last_ && !stops(); ++epoch) train_epoch(epoch);
  } catch (const AgreedEnd& end) {
    save_before_the_end();
    if (end.cause) std::rethrow_exception(end.cause);
    throw MismatchError(journal_.failure());
  }
  if (iteration_ >= last_ && iteration_ > 0 && journal_.updates() == 0)
    throw MismatchError("all ", iteration_, " updates were left out, because loss or gradients were not finite (",
                        options_.out, "/nonfinite.jsonl): nothing was learned. Start anew with a lower --optimizer.lr",
                        precision_.scales_loss() ? ", more steps, in which the loss scale is found," : "",
                        " or --precision float32");

  PretrainResult result;
  if (iteration_ < last_) {
    progress_.say(concat("stopped on request after step ", iteration_, "; the same command goes on from there"));
    result.exit_code = 75;
  }
  if (const auto times = journal_.replacements(); times > 0)
    progress_.warn(
        concat("broken images were replaced ", times, " times; they are named in ", options_.out, "/replaced.jsonl"));
  const auto collapse = journal_.collapse();
  if (!collapse.empty())
    progress_.warn(concat("the run ends collapsed, or has learned nothing yet, by its ", joined(collapse, ", "),
                          "; what to try is among the warnings in ", options_.out, "/metrics.jsonl"));
  double loss = journal_.loss();
  ssl::long_together(*group_, pause_, [&] {
    if (!lead_) return;
    if (had_finished) {
      loss = logged_loss();
      if (const auto kept = keep_other_encoder(); !kept.empty()) progress_.warn(kept);
    } else {
      require_folder();
    }
    if (result.exit_code == 0 && !(had_finished && data::exists(folder_->file("encoder.safetensors"))))
      ssl::write_encoder(folder_->file("encoder.safetensors"), method_->encoder(), options_.encoder,
                         encoder_metadata(options_));
    if (unsaved_.empty()) return;
    const auto lost = concat(unsaved_, "; ", folder_->file("encoder.safetensors"), " holds what was learned");
    if (iteration_ < total_) throw Error(lost, ", but the run cannot go on after step ", iteration_);
    progress_.warn(lost);
  });
  result.summary = {{"method", options_.method},
                    {"steps", iteration_},
                    {"steps_per_epoch", steps_per_epoch_},
                    {"epochs", options_.epochs},
                    {"batch_size", options_.batch_size},
                    {"precision", options_.precision},
                    {"images_per_second", throughput_.overall()},
                    {"data_wait", throughput_.overall_data_wait()},
                    {"seconds", throughput_.seconds()},
                    {"world_size", group_->world_size()},
                    {"out", options_.out},
                    {"collapse", collapse}};
  result.summary["final_loss"] = std::isfinite(loss) ? nlohmann::json(loss) : nlohmann::json(nullptr);
  result.warnings = progress_.warnings();
  return result;
}

}  // namespace

PretrainResult pretrain(const ResolvedOptions& resolved, const Environment& environment) {
  return Run(resolved, environment).go();
}

}  // namespace unlabel::launch
