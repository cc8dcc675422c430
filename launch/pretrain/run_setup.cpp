#include <unlabel/augment/error.h>
#include <unlabel/data/file_list.h>
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/eval/protocols.h>
#include <unlabel/eval/test_set.h>
#include <unlabel/launch/checkpoint/checkpoint.h>
#include <unlabel/launch/distributed/agreement.h>
#include <unlabel/launch/distributed/arithmetic.h>
#include <unlabel/launch/distributed/main_setup.h>
#include <unlabel/launch/distributed/process_group.h>
#include <unlabel/launch/distributed/shared_data.h>
#include <unlabel/launch/pretrain/initial_weights.h>
#include <unlabel/launch/pretrain/run.h>
#include <unlabel/launch/run/command_output.h>
#include <unlabel/ssl/layers/batch_norm.h>
#include <unlabel/ssl/layers/ema.h>
#include <unlabel/ssl/optim/cast.h>
#include <unlabel/ssl/optim/optimizer.h>

#include <ATen/Parallel.h>

#include <filesystem>
#include <set>
#include <thread>
#include <utility>

namespace unlabel::launch {

namespace {

constexpr std::int64_t kWideForCpu = 64;  ///< from this width on, a run on a CPU warns that it will be slow
/// Below this width channels_last is not used on a CPU: there LibTorch 2.11 writes out of bounds in the gradient of strided 1 x 1
/// convolutions of narrower ResNets (oneDNN's jit_1x1 in float32, jit_bf16_1x1 in bf16).
constexpr std::int64_t kNarrowestChannelsLast = 16;
constexpr int kFolderAttempts = 10;  ///< number of attempts to see the same folder on all ranks, 1 s apart

/// kNN on the labeled training and test images while training; null unless --knn.every is set.
std::unique_ptr<eval::OnlineKnn> make_online_knn(const PretrainOptions& options,
                                                 std::shared_ptr<const data::Dataset> train, at::Device device,
                                                 const ssl::Group& group, Warnings& warnings) {
  if (options.knn.every <= 0) return nullptr;
  auto test = eval::labeled_by_folder(open_on_all_ranks(options.data, data::Split::kTest, group, options.init_timeout),
                                      train->class_names());
  for (const auto& note : test->notes()) warnings.add(note);
  eval::SharedImages shared;
  run_on_rank0(group, options.init_timeout, [&] { shared = eval::find_shared_images(*train, *test); });
  if (const auto doubt = shared.sentence(); !doubt.empty()) warnings.add("kNN while training: " + doubt);
  eval::OnlineKnnOptions online;
  online.train_images = options.knn.train_images;
  online.test_images = options.knn.test_images;
  online.features.device = device.str();
  online.features.decode = options.decode;
  online.features.retry_time = data::retry_time(std::chrono::seconds(options.init_timeout));
  online.features.broken = "skip";  // as in training, a broken image does not end the run
  auto knn = std::make_unique<eval::OnlineKnn>(std::move(train), std::move(test),
                                               augment::evaluation_view(make_views(options)),
                                               eval::find_protocol("knn", options.knn.protocol), online);
  for (const auto& warning : knn->warnings()) warnings.add("kNN while training: " + warning);
  return knn;
}

/// The number of ranks that share batch statistics: the smallest divisor of the world size for which they have at least `images` images
/// together; all ranks for 0 images. `rank_images`: images per rank in one forward pass.
int sync_bn_ranks(std::int64_t images, std::int64_t rank_images, int world_size) {
  if (images == 0) return world_size;
  int ranks = 1;
  while (ranks < world_size && (world_size % ranks != 0 || ranks * rank_images < images)) ++ranks;
  return ranks;
}

/// Throws Error and not MismatchError, because a restart may succeed: a network file system shows new files with a delay.
[[noreturn]] void refuse_different_checkpoints(const std::string& folder) {
  throw Error("not every rank sees the same checkpoint in ", folder,
              "; --out must be one folder that all machines share");
}

}  // namespace

data::LoaderOptions loader_options(const PretrainOptions& options, const Environment& environment, at::Device device) {
  data::LoaderOptions loading;
  loading.seed = options.seed;
  loading.threads = options.threads >= 0 ? options.threads
                                         : default_threads(environment, augment::usable_processors(),
                                                           /*processors_compute=*/device.is_cpu());
  loading.allocate = data::pinned_memory(device);
  loading.retry_time = data::retry_time(std::chrono::seconds(options.timeout));
  loading.stop_retrying = StopSignal::requested;
  return loading;
}

Run::Run(const ResolvedOptions& resolved, const Environment& environment)
    : resolved_(resolved),
      environment_(environment),
      options_(resolved.options),
      group_(resolved.group),
      dataset_(resolved.dataset),
      is_rank0_(group_->rank() == 0),
      heartbeat_(heartbeat(options_.init_timeout)),
      checkpoints_(options_.out + "/checkpoints"),
      file_list_(options_.out + "/data_files.gz") {
  set_up();
}

/// Runs after resolve_options(), in which the ranks connected and checked that data and settings agree. The order matters: each statement
/// uses results of earlier ones, and all ranks must execute the collectives in the same order.
void Run::set_up() {
  // 1. What follows from the settings and this rank's number alone: no collectives, no files.
  device_ = choose_device(options_.device, environment_);
  sampler_.emplace(dataset_->size(), options_.batch_size, options_.seed, environment_.rank, environment_.world_size);
  micro_batch_ = micro_batch_size(options_, *sampler_, environment_.world_size);
  steps_per_epoch_ = sampler_->steps_per_epoch();
  total_ = options_.epochs * steps_per_epoch_;
  last_ = std::min(total_, options_.max_steps.value_or(total_));
  schedule_.emplace(options_.schedule, options_.optimizer.lr, steps_per_epoch_, total_);
  transform_ = make_transform(options_);
  noun_ = dynamic_cast<const data::ImageViews*>(transform_.get()) ? "image" : "sample";
  sync_bn_ranks_ = sync_bn_ranks(options_.batch_norm_images, micro_batch_, group_->world_size());

  // 2. Threads: ranks on one machine share its cores.
  use_share_of_cores(environment_, *group_);
  loader_.emplace(dataset_, transform_, loader_options(options_, environment_, device_));

  // 3. Agreement of all ranks on the precision and on the checkpoint to resume from.
  precision_note_ = resolve_precision(*group_, device_, options_.precision);
  precision_.emplace(options_.precision);
  channels_last_ = options_.channels_last && !(device_.is_cpu() && options_.encoder.width < kNarrowestChannelsLast);
  fingerprint_ = dataset_->fingerprint();  // takes a moment for a million files
  newest_ = newest_on_all_ranks();
  online_knn_ = make_online_knn(options_, dataset_, device_, *group_, early_warnings_);

  // 4. The network, with the same weights on every rank, and the optimizer.
  make_method();
  optimizer_.emplace(method_->parameter_groups(), options_.optimizer);
  scaler_.emplace(precision_->scales_loss(), device_);
  guard_.emplace(*method_, *optimizer_, /*deferred=*/!device_.is_cpu());
  state_.emplace(TrainingState{*method_, *optimizer_, *scaler_});
  record_.emplace(RunRecord{options_, *dataset_, *transform_, fingerprint_, frozen_checksum_, group_->world_size(),
                            gather_arithmetic(*group_)});

  // 5. The run folder, which rank 0 locks.
  open_folder();

  // 6. Resume: the newest checkpoint, or step 0.
  resume();

  // 7. Log, progress, and the monitor that evaluates each step's statistics.
  open_log();
  progress_.emplace(is_rank0_, last_, iteration_, steps_per_epoch_, noun_);
  monitor_.emplace(TrainingMonitor::Context{*group_, options_, dataset_->size(), total_, method_->collapse_checks(),
                                            *progress_, log_.get(), noun_});

  // 8. What the training loop needs, after the initial weights are loaded.
  parallel_.emplace(*method_, group_);
  copier_.emplace(device_);
  stop_signal_.emplace();
  throughput_.emplace(options_.batch_size);
  saved_at_ = std::chrono::steady_clock::now();
}

/// The newest checkpoint's iteration. Throws Error unless every rank sees the same one: otherwise ranks would train from different weights,
/// or wait for each other for ever.
std::optional<std::int64_t> Run::newest_on_all_ranks() const {
  std::optional<std::int64_t> newest;
  ssl::run_on_all_ranks(*group_, [&] { newest = newest_checkpoint(checkpoints_); });
  // On a network file system the contents of a folder may be some seconds old.
  const auto all_see_it = [&] {
    const auto seen = ssl::gather_texts(*group_, std::to_string(newest.value_or(-1)));
    return std::set<std::string>(seen.begin(), seen.end()).size() == 1;
  };
  for (int attempt = 0; attempt < kFolderAttempts && !all_see_it(); ++attempt) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    ssl::run_on_all_ranks(*group_, [&] { newest = newest_checkpoint(checkpoints_); });
  }
  if (!all_see_it()) refuse_different_checkpoints(checkpoints_);
  return newest;
}

/// Constructs the method, loads the weights of --init, and converts everything to the device and the precision.
void Run::make_method() {
  torch::manual_seed(options_.seed);
  auto method =
      ssl::make_method(options_.method, options_.methods,
                       {options_.encoder, dataset_->size(), options_.batch_size, micro_batch_, options_.seed, group_});
  if (const auto* images = dynamic_cast<const data::ImageViews*>(transform_.get()))
    ssl::require_views(*method, images->views());
  if (!options_.init.empty() && !newest_) {
    init_report_.emplace();
    ssl::run_on_all_ranks(*group_, [&] {
      *init_report_ = load_initial_weights(options_.init, method->encoder(), options_.encoder, options_.init_partial);
    });
  }
  // Frozen modules (a teacher) are not part of checkpoints, so all ranks and all resumes are checked to have the same ones.
  const auto place = [&](torch::nn::Module& module) {
    ssl::move_to(module, device_);
    ssl::to_float_dtype(module, precision_->weights());
    if (channels_last_) ssl::to_channels_last(module);
  };
  const auto frozen = method->frozen_modules();
  frozen_checksum_ = ssl::frozen_checksum(frozen);
  for (const auto& module : frozen) {
    place(*module);
    ssl::freeze(*module);
    module->eval();
  }
  require_equal_on_all_ranks(*group_, {{"other frozen weights", frozen_checksum_, "give all machines the same files"}});
  place(*method);
  ssl::set_batch_norm_group(*method, group_->subgroup(sync_bn_ranks_));
  method->train();
  ssl::check_parameter_groups(*method, method->parameter_groups());
  method_ = std::move(method);
}

/// Creates and locks the run folder, on rank 0.
void Run::open_folder() {
  ssl::run_long_on_all_ranks(*group_, heartbeat_, [&] {
    if (!is_rank0_) return;
    // Space for the checkpoints to be kept and one more that is being written, minus those that already exist.
    const auto there = static_cast<std::int64_t>(list_checkpoints(checkpoints_).size());
    const auto missing = std::max<std::int64_t>(1, options_.checkpoint.keep + 1 - there);
    const bool finished = newest_.value_or(0) >= last_;
    folder_ = std::make_unique<RunFolder>(options_.out, finished ? 0 : missing * state_->bytes(), newest_.has_value());
    remove_unfinished_checkpoints(checkpoints_);
  });
}

/// Loads the newest intact checkpoint, if there is one. Every rank reads it.
void Run::resume() {
  ssl::run_long_on_all_ranks(*group_, heartbeat_, [&] {
    if (list_checkpoints(checkpoints_).empty()) return;
    const auto checkpoint = read_checkpoint(checkpoints_, &resumed_.skipped);
    record_->require_same(checkpoint.training, checkpoints_, file_list_);
    state_->load(checkpoint, checkpoints_);
    iteration_ = checkpoint.iteration;
    resumed_.monitor = checkpoint.training.value("health", nlohmann::json());
    resumed_.arithmetic = checkpoint.training.value("arithmetic", nlohmann::json::array());
    resumed_.world_size = checkpoint.training.value("world_size", group_->world_size());
  });
  // Damage or a delayed network file system can lead ranks to different checkpoints.
  const auto starts = ssl::gather_texts(*group_, std::to_string(iteration_));
  if (std::set<std::string>(starts.begin(), starts.end()).size() > 1) refuse_different_checkpoints(checkpoints_);
  ssl::run_on_all_ranks(*group_, [&] {
    if (is_rank0_ && !resumed_.skipped.empty()) quarantine_damaged(checkpoints_, iteration_);
  });
  saved_ = iteration_;
}

/// Writes config.json, and opens the log and the checkpoint writer, on rank 0.
void Run::open_log() {
  ssl::run_long_on_all_ranks(*group_, heartbeat_, [&] {
    if (!is_rank0_) return;
    const std::string config = folder_->file("config.json");
    if (iteration_ < last_ || !std::filesystem::exists(config))
      data::write_file(config, json_text(config_json(options_)));
    if (iteration_ >= last_) return;
    if (!newest_ && data::exists(folder_->file("metrics.jsonl")))
      early_warnings_.add(
          concat("the run in ", options_.out,
                 " was stopped before its first checkpoint: it starts over, with the settings of this command"));
    if (const auto kept = move_stale_encoder(); !kept.empty()) early_warnings_.add(kept);
    std::filesystem::remove(
        folder_->file("encoder.safetensors"));  // of a run with fewer steps, which this one continues
    log_ = std::make_unique<RunLog>(*folder_, iteration_);
    if (iteration_ == 0) data::write_file_list(file_list_, *dataset_);
  });
  if (!is_rank0_ || iteration_ >= last_) return;
  // Before each checkpoint, the log up to that step must be on the disk: a resumed run does not log those steps again.
  writer_ = std::make_unique<CheckpointWriter>(
      checkpoints_, Retention{options_.checkpoint.keep, options_.checkpoint.keep_every}, [this] {
        folder_->require_ours();
        log_->flush();
      });
}

/// Prints what the user should know at the start: warnings, chosen settings, what was loaded, and what differs from before a resume.
void Run::log_start() {
  if (folder_ && !folder_->warning().empty()) progress_->warn(folder_->warning());
  for (const auto& reason : resumed_.skipped) progress_->warn("a checkpoint was skipped: " + reason);
  if (iteration_ >= last_) {
    progress_->say(iteration_ >= total_
                       ? concat("finished: all ", iteration_, " steps are done in ", options_.out,
                                "; for a new run choose another --out")
                       : concat("the run in ", options_.out, " is at step ", iteration_, " of ", total_,
                                ", and --max-steps is ", last_, ": nothing to do; without --max-steps it continues"));
    return;
  }
  progress_->say(dataset_->description());
  for (const auto& [setting, value, reason] : resolved_.choices)
    if (iteration_ == 0) progress_->say(concat("  --", with_dashes(setting), " ", value, ": ", reason));
  if (!precision_note_.empty()) progress_->say(precision_note_);
  for (const auto& line : resolved_.warnings) progress_->warn(line);
  for (const auto& line : early_warnings_.sentences()) progress_->warn(line);
  if (const auto slow = is_rank0_ ? slow_precision_warning(options_.precision, device_) : ""; !slow.empty())
    progress_->warn(slow);
  if (device_.is_cpu())
    if (const auto note =
            idle_cores_note(environment_, augment::usable_processors(), at::get_num_threads(), environment_variable);
        !note.empty())
      progress_->say("note: " + note);
  if (device_.is_cpu() && options_.encoder.width >= kWideForCpu)
    progress_->warn(concat("a ", options_.encoder.arch, " of width ", options_.encoder.width,
                           " is slow on a CPU; --encoder.width 16 is about ten times faster"));
  const auto normed = sync_bn_ranks_ * micro_batch_;
  if (const auto images = options_.batch_norm_images; images > 1 && images != normed)
    progress_->warn(concat("batch statistics are over ", normed, " ", noun_, "s instead of ", images,
                           " (--batch-norm-images), the closest number that ", group_->world_size(), " rank(s) with ",
                           micro_batch_, " ", noun_, "s each in one forward pass allow"));
  if (const auto micro_steps = sampler_->local_batch() / micro_batch_; micro_steps > 1) {
    const auto note = method_->accumulation_note(micro_batch_ * group_->world_size());
    progress_->say(concat("each update uses ", micro_steps, " micro-batches of ", micro_batch_, " ", noun_,
                          "s per rank, in all ", options_.batch_size,
                          ". Unchanged: learning rate, schedules, weight decay, target networks. Changed: batch "
                          "statistics are over ",
                          normed, " ", noun_, "s", note.empty() ? "" : "; " + note));
  }
  if (init_report_) {
    const auto loaded = concat(options_.init, ": ", init_report_->summary());
    init_report_->complete() ? progress_->say(loaded) : progress_->warn(loaded);
    if (const auto detail = init_report_->detail(); !detail.empty()) progress_->say(detail);
  }
  if (iteration_ > 0) {
    progress_->say(
        concat("resuming from step ", iteration_, " in ", options_.out, ", with precision ", options_.precision));
    if (const auto changes = arithmetic_changes(resumed_.arithmetic, record_->arithmetic);
        device_.is_cpu() && !changes.empty())
      progress_->warn(concat(changes,
                             " (OMP_NUM_THREADS, another CPU, or variables of oneDNN and MKL): from here on "
                             "the last digits differ from those of an uninterrupted run"));
    if (resumed_.world_size != group_->world_size())
      progress_->warn(concat(
          "the checkpoint was written by ", resumed_.world_size, " rank(s) and this run has ", group_->world_size(),
          ": from here on the last digits differ from those of an uninterrupted run",
          micro_batch_ < sampler_->local_batch() ? ", and with --micro-batch the micro-batches consist of other samples"
                                                 : ""));
  }
  if (const auto other = arithmetic_differences(record_->arithmetic); device_.is_cpu() && !other.empty())
    progress_->warn(concat(
        "ranks compute differently, ", other,
        ": their weights may differ in the last digits; use the same OMP_NUM_THREADS and the same CPUs for all"));
  progress_->say(concat(options_.method, ", ", options_.encoder.arch, " on ", environment_.world_size, " rank(s), ",
                        device_.str(), ", ", options_.precision, ": ", last_, " steps of ", options_.batch_size, " ",
                        noun_, "s, ", steps_per_epoch_, " per epoch"));
}

}  // namespace unlabel::launch
