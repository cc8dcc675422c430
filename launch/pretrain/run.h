#pragma once

#include <unlabel/augment/transforms/multi_crop.h>
#include <unlabel/data/collate.h>
#include <unlabel/data/loader.h>
#include <unlabel/data/sampler.h>
#include <unlabel/eval/protocols/online_knn.h>
#include <unlabel/launch/checkpoint/checkpoint_writer.h>
#include <unlabel/launch/distributed/data_parallel.h>
#include <unlabel/launch/distributed/environment.h>
#include <unlabel/launch/pretrain/pretrain.h>
#include <unlabel/launch/pretrain/pretrain_options.h>
#include <unlabel/launch/pretrain/run_record.h>
#include <unlabel/launch/pretrain/training_monitor.h>
#include <unlabel/launch/run/progress.h>
#include <unlabel/launch/run/run_folder.h>
#include <unlabel/launch/run/run_log.h>
#include <unlabel/launch/run/stop_signal.h>
#include <unlabel/launch/training/precision.h>
#include <unlabel/launch/training/step_guard.h>
#include <unlabel/launch/training/training_state.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/optim/optimizer.h>
#include <unlabel/ssl/optim/schedule.h>
#include <unlabel/ssl/weights/weights.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace unlabel::launch {

/// What a checkpoint says about the run that this one resumes.
struct ResumeInfo {
  nlohmann::json monitor;            ///< state of the training monitor; null when it was not saved
  nlohmann::json arithmetic;         ///< gather_arithmetic() of the process that wrote the checkpoint; may be empty
  int world_size = 0;                ///< of the process that wrote the checkpoint
  std::vector<std::string> skipped;  ///< why newer checkpoints were skipped: what is damaged in each
};

/// Settings of the loader of training steps: it retries reading for less than half of --timeout, during which other ranks wait.
data::LoaderOptions loader_options(const PretrainOptions& options, const Environment& environment, at::Device device);

/// One pretraining run. Its sources: run_setup.cpp constructs the parts, pretrain.cpp is the training loop, run_save.cpp writes checkpoints
/// and the encoder. All ranks call the same functions in the same order, because most of them contain collectives.
class Run {
 public:
  /// Sets up everything, up to a resumed state. Throws Error as the parts do.
  Run(const ResolvedOptions& resolved, const Environment& environment);

  /// Trains to the end, or until the run is asked to stop.
  PretrainResult train();

 private:
  // run_setup.cpp
  void set_up();
  std::optional<std::int64_t> newest_on_all_ranks() const;
  void make_method();
  void open_folder();
  void resume();
  void open_log();
  void log_start();

  // pretrain.cpp
  void train_epoch(std::int64_t epoch);
  PendingStep make_step(const ssl::Step& step);
  LocalStepStats forward_and_backward(const data::Batch& batch, ssl::Step step);
  void read_samples(std::int64_t epoch, const data::SampleTransform& transform,
                    const std::vector<std::int64_t>& samples, std::int64_t batch_size, std::int64_t& passed,
                    const std::function<void(const data::Batch&)>& visit) const;
  void measure_knn(std::int64_t epoch, nlohmann::json& line);
  void warn_of_level_range(bool at_end);
  bool stop_requested() const { return monitor_->stop() || stopped_between_steps_; }

  // run_save.cpp
  void wait_for_writer();
  void require_folder();
  void save();
  void save_before_the_end();
  std::string move_stale_encoder() const;
  void write_encoder(const PretrainResult& result, bool had_finished, double& loss);

  const ResolvedOptions& resolved_;
  Environment environment_;
  PretrainOptions options_;  ///< `precision` "auto" is replaced during setup by what all ranks agree on
  const std::shared_ptr<const ssl::Group> group_;
  const std::shared_ptr<const data::Dataset> dataset_;
  const bool is_rank0_;  ///< only rank 0 has folder_, log_ and writer_
  /// While one rank works, it signals the waiting ranks at this interval, because they give up after --init-timeout.
  const std::chrono::milliseconds heartbeat_;
  const std::string checkpoints_, file_list_;  ///< paths of checkpoints/ and data_files.gz in the run folder

  // Constructed by set_up(), in this order.
  at::Device device_ = at::kCPU;
  std::optional<data::Sampler> sampler_;
  std::int64_t micro_batch_ = 0;  ///< samples per rank in one forward pass
  std::int64_t steps_per_epoch_ = 0;
  std::int64_t total_ = 0;  ///< iterations of the whole schedule (epochs times steps_per_epoch_)
  std::int64_t last_ = 0;   ///< number of iterations after which this run ends: total_, or --max-steps
  std::optional<ssl::Schedule> schedule_;
  std::shared_ptr<const data::SampleTransform> transform_;
  std::string noun_;  ///< what messages call a sample: "image" or "sample"
  std::optional<data::Loader> loader_;
  std::string precision_note_;
  std::optional<Precision> precision_;
  bool channels_last_ = false;
  Warnings early_warnings_{/*printed=*/false};  ///< collected during setup; log_start() prints them
  std::optional<std::int64_t> newest_;          ///< iteration of the newest checkpoint; nullopt: there is none
  std::unique_ptr<eval::OnlineKnn> online_knn_;
  int sync_bn_ranks_ = 1;                       ///< number of ranks that share batch statistics
  std::optional<ssl::LoadReport> init_report_;  ///< of loading the weights of --init; nullopt: none were loaded
  std::shared_ptr<ssl::Method> method_;
  std::uint64_t frozen_checksum_ = 0;  ///< checksum of the weights of the method's frozen modules
  std::optional<ssl::Optimizer> optimizer_;
  std::optional<LossScaler> scaler_;
  std::optional<StepGuard> guard_;
  std::optional<TrainingState> state_;
  std::unique_ptr<RunFolder> folder_;
  std::optional<RunRecord> record_;
  ResumeInfo resumed_;
  std::int64_t iteration_ = 0;  ///< number of iterations done
  std::int64_t saved_ = 0;      ///< the newest iteration that is certainly in a checkpoint
  std::unique_ptr<RunLog> log_;
  std::unique_ptr<CheckpointWriter> writer_;
  std::optional<Progress> progress_;
  std::optional<TrainingMonitor> monitor_;
  std::optional<DataParallel>
      parallel_;  ///< constructed after the weights are loaded: it copies them from rank 0 and refers to them
  std::optional<data::BatchCopier> copier_;
  std::optional<StopSignal> stop_signal_;
  std::optional<Throughput> throughput_;

  bool level_range_checked_ = false;
  /// A signal came during a pass over the data before an epoch, or while a read was being retried.
  bool stopped_between_steps_ = false;
  std::string unsaved_;  ///< rank 0: why the checkpoint of the last step could not be written; empty: it was
  bool ending_ = false;  ///< training cannot continue (EndedOnAllRanks), and the state is being saved
  std::chrono::steady_clock::time_point saved_at_;  ///< time of the last checkpoint
};

}  // namespace unlabel::launch
