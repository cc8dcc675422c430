#include <unlabel/augment/error.h>
#include <unlabel/data/io/files.h>
#include <unlabel/launch/checkpoint/checkpoint.h>
#include <unlabel/launch/checkpoint/checkpoint_files.h>
#include <unlabel/launch/pretrain/run.h>
#include <unlabel/ssl/group.h>
#include <unlabel/ssl/weights/safetensors.h>
#include <unlabel/ssl/weights/weights.h>

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <utility>

namespace unlabel::launch {

namespace {

/// Where the file at `path` does not hold exactly the weights of `encoder` (but of a later step whose checkpoint is damaged, or a user's),
/// renames it to encoder-N.safetensors beside it, with the first free N, and returns that path; else an empty string.
std::string move_other_encoder_aside(const std::string& path, const ssl::Encoder& encoder) {
  if (!data::exists(path)) return {};
  const auto same = [&] {
    std::map<std::string, at::Tensor> there;
    const auto broken = damage([&] {
      const auto file = ssl::read_safetensors(path);
      there.insert(file.tensors.begin(), file.tensors.end());
    });
    if (!broken.empty()) return false;
    const auto mine = ssl::state_of(encoder);
    return there.size() == mine.size() && std::ranges::all_of(mine, [&](const auto& item) {
             const auto found = there.find(item.first);
             return found != there.end() && found->second.equal(item.second.detach().cpu());
           });
  };
  if (same()) return {};
  const auto folder = std::filesystem::path(path).parent_path();
  std::filesystem::path aside;
  for (int number = 1; aside.empty() || data::exists(aside.string()); ++number)
    aside = folder / concat("encoder-", number, ".safetensors");
  std::filesystem::rename(path, aside);
  return aside.string();
}

}  // namespace

bool Run::saving_minutes_are_over() const {
  const std::chrono::duration<double, std::ratio<60>> since = std::chrono::steady_clock::now() - saved_at_;
  const double minutes = options_.checkpoint.every.minutes;
  return minutes > 0 && since.count() > minutes;
}

/// Until nothing is being written.
void Run::wait_for_writer() {
  while (ssl::any_rank(*group_, is_rank0_ && !writer_->wait_for(pause_))) {
  }
}

/// Throws Error when the run folder has gone, or is another run's now.
void Run::require_folder() {
  try {
    folder_->require_ours();
  } catch (const IoError&) {
    throw;
  } catch (const Error& error) {
    progress_->warn(error.what());
    throw Error("stopped after step ", iteration_, ": the run folder ", options_.out, " is this run's no longer");
  }
}

// Written while training goes on. At an end it is waited for; without a checkpoint a run can go on, but not stop.
void Run::save() {
  const auto per_sample_state = method_->per_sample_state();
  const bool needed = stop_requested() || ending_ || iteration_ == last_;
  if (needed) wait_for_writer();  // of the checkpoint before
  ssl::run_on_all_ranks(*group_, [&] {
    if (!state_->finite())
      throw MismatchError("weights are not finite after step ", iteration_, monitor_->checkpoint_hint(),
                          ". Start anew with a lower --optimizer.lr");
    if (!is_rank0_) return;
    require_folder();
    if (!needed && !writer_->wait_for(pause_)) {
      progress_->warn("the last checkpoint is still being written (a slow disk?); this one is left out");
      return;
    }
    writer_->start([&](CheckpointFiles& files) {
      pack(state_->snapshot(iteration_, per_sample_state, record_->to_json(monitor_->state())), files);
    });
  });
  if (needed) {
    wait_for_writer();
    ssl::run_on_all_ranks(*group_, [&] {
      if (!is_rank0_) return;
      auto failure = writer_->failure();
      if (iteration_ == last_)  // the encoder comes first
        unsaved_ = std::move(failure);
      else if (!failure.empty())
        throw Error(failure);
    });
  }
  if (needed) saved_ = iteration_;  // others may have been left out
  monitor_->saved();
  saved_at_ = std::chrono::steady_clock::now();
  throughput_->resume(loader_->seconds_waited());
}

/// Keeps what was learned when training cannot go on. That this fails is told, and does not hide why the run ends.
void Run::save_before_the_end() {
  ending_ = true;
  try {
    monitor_->flush();
    if (iteration_ == saved_) return;
    save();
    progress_->say(concat("saved at step ", iteration_, ", where training cannot go on"));
  } catch (const Error& error) {
    progress_->warn(concat("no checkpoint of step ", iteration_, ": ", error.what()));
  }
}

/// Renames an encoder.safetensors that is not of the step where the run stands, and says where it is now.
std::string Run::keep_other_encoder() const {
  const auto aside = move_other_encoder_aside(folder_->file("encoder.safetensors"), method_->encoder());
  return aside.empty() ? ""
                       : concat("encoder.safetensors is not of the step where the run stands: it is kept as ", aside);
}

double Run::logged_loss() const {
  const auto line = JsonLines::last(folder_->file("metrics.jsonl"));
  const auto loss = line.is_object() ? line.value("loss", nlohmann::json()) : nlohmann::json();
  return loss.is_number() ? loss.get<double>() : std::nan("");
}

/// At the end of all: the encoder, beside what says why the last step has no checkpoint. `loss` becomes the logged one of a run that had
/// finished before.
void Run::write_encoder(const PretrainResult& result, bool had_finished, double& loss) {
  ssl::run_long_on_all_ranks(*group_, pause_, [&] {
    if (!is_rank0_) return;
    if (had_finished) {
      loss = logged_loss();
      if (const auto kept = keep_other_encoder(); !kept.empty()) progress_->warn(kept);
    } else {
      require_folder();
    }
    if (result.exit_code == 0 && !(had_finished && data::exists(folder_->file("encoder.safetensors"))))
      ssl::write_encoder(folder_->file("encoder.safetensors"), method_->encoder(), options_.encoder,
                         encoder_metadata(options_));
    if (unsaved_.empty()) return;
    const auto lost = concat(unsaved_, "; ", folder_->file("encoder.safetensors"), " holds what was learned");
    if (iteration_ < total_) throw Error(lost, ", but the run cannot go on after step ", iteration_);
    progress_->warn(lost);
  });
}

}  // namespace unlabel::launch
