#pragma once

#include <unlabel/augment/transforms/multi_crop.h>
#include <unlabel/data/device_copy.h>
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
#include <unlabel/launch/run/throughput.h>
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

/// What is known of the run that this one resumes.
struct ResumeInfo {
  nlohmann::json monitor;            ///< state of the training monitor; null when there was none
  nlohmann::json arithmetic;         ///< of the run before, as far as it is known
  int world_size = 0;                ///< of the run before
  std::vector<std::string> skipped;  ///< why newer checkpoints were passed over
};

data::LoaderOptions loader_options(const PretrainOptions& options, const Environment& environment, at::Device device);

/// One pretraining run. Its sources: run_setup.cpp makes its parts, pretrain.cpp is the loop, run_save.cpp keeps what was learned.
class Run {
 public:
  /// Sets it up, on all ranks together. Throws Error as the parts do.
  Run(const ResolvedOptions& resolved, const Environment& environment);

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
  PendingStep make_step(data::HostBatch batch, const ssl::Step& step);
  LocalStepStats forward_and_backward(const data::Batch& batch, ssl::Step step);
  void read_samples(std::int64_t epoch, const data::SampleTransform& transform,
                    const std::vector<std::int64_t>& samples, std::int64_t batch_size, std::int64_t& passed,
                    const std::function<void(const data::Batch&)>& visit) const;
  void measure_knn(std::int64_t epoch, nlohmann::json& line);
  void judge_range(bool at_end);
  bool stop_requested() const { return monitor_->stop() || stopped_between_steps_; }

  // run_save.cpp
  bool saving_minutes_are_over() const;
  void wait_for_writer();
  void require_folder();
  void save();
  void save_before_the_end();
  std::string keep_other_encoder() const;
  double logged_loss() const;
  void write_encoder(const PretrainResult& result, bool had_finished, double& loss);

  const ResolvedOptions& resolved_;
  Environment environment_;
  PretrainOptions options_;  ///< once ranks have met, with the precision that they agree on
  const std::shared_ptr<const ssl::Group> group_;
  const std::shared_ptr<const data::Dataset> dataset_;
  const bool is_rank0_;  ///< rank 0, which alone has a folder, a log and a writer
  /// Ranks that wait for one of them hear in between that it goes on: they give up after --timeout.
  const std::chrono::milliseconds pause_;
  const std::string checkpoints_, file_list_;  ///< below the run folder

  // What set_up() makes, in the order in which it does; only what is written in place later is no pointer or optional.
  at::Device device_ = at::kCPU;
  std::optional<data::Sampler> sampler_;
  std::int64_t micro_batch_ = 0;  ///< images that a rank takes at once
  std::int64_t steps_per_epoch_ = 0;
  std::int64_t total_ = 0;  ///< iterations that the schedules span
  std::int64_t last_ = 0;   ///< the iteration at which this run ends: total_, or --max-steps
  std::optional<ssl::Schedule> schedule_;
  std::shared_ptr<const data::SampleTransform> transform_;
  std::optional<data::Loader> loader_;
  std::string precision_note_;
  std::optional<Precision> precision_;
  bool channels_last_ = false;
  Warnings early_warnings_{/*printed=*/false};  ///< before the progress can say them
  std::uint64_t fingerprint_ = 0;               ///< of the data
  std::optional<std::int64_t> newest_;          ///< the newest checkpoint's iteration
  std::unique_ptr<eval::OnlineKnn> online_knn_;
  int sync_bn_ranks_ = 1;                       ///< that share batch statistics
  std::optional<ssl::LoadReport> init_report_;  ///< of --init, when the run starts from it
  std::shared_ptr<ssl::Method> method_;
  std::uint64_t frozen_checksum_ = 0;  ///< of the method's frozen modules
  std::optional<ssl::Optimizer> optimizer_;
  std::optional<LossScaler> scaler_;
  std::optional<StepGuard> guard_;
  std::optional<TrainingState> state_;
  std::unique_ptr<RunFolder> folder_;
  std::optional<RunRecord> record_;
  ResumeInfo resumed_;
  std::int64_t iteration_ = 0;  ///< updates made
  std::int64_t saved_ = 0;      ///< those that a checkpoint is known to have
  std::unique_ptr<RunLog> log_;
  std::unique_ptr<CheckpointWriter> writer_;
  std::optional<Progress> progress_;
  std::optional<TrainingMonitor> monitor_;
  std::optional<DataParallel> parallel_;  ///< after the weights are final: it keeps pointers to them
  std::optional<data::BatchCopier> copier_;
  std::optional<StopSignal> stop_signal_;
  std::optional<Throughput> throughput_;

  bool range_judged_ = false;
  /// By a signal, in a pass over the data before an epoch or while a disk was waited for.
  bool stopped_between_steps_ = false;
  std::string unsaved_;  ///< of rank 0: why the last step has no checkpoint
  bool ending_ = false;  ///< since training cannot go on (AgreedEnd)
  std::chrono::steady_clock::time_point saved_at_;
};

}  // namespace unlabel::launch
