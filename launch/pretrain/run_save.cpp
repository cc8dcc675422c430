#include <unlabel/augment/error.h>
#include <unlabel/data/io/files.h>
#include <unlabel/launch/checkpoint/checkpoint.h>
#include <unlabel/launch/checkpoint/checkpoint_files.h>
#include <unlabel/launch/distributed/shared_data.h>
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

/// Waits on all ranks until rank 0 writes no checkpoint; the all-reduce at each heartbeat keeps the others from timing out.
void Run::wait_for_writer() {
  while (ssl::all_reduce_any(*group_, is_rank0_ && !writer_->wait_for(heartbeat_))) {
  }
}

/// Throws Error when the run folder was removed or is used by another run now.
void Run::require_folder() {
  try {
    folder_->require_ours();
  } catch (const IoError&) {
    throw;
  } catch (const Error& error) {
    progress_->warn(error.what());
    throw Error("stopped after step ", iteration_, ": the run folder ", options_.out, " no longer belongs to this run");
  }
}

/// Saves a checkpoint: in the background while training continues, but at the end of the run it waits until the checkpoint is written. A
/// failed write is a warning during training, and an error at the end.
void Run::save() {
  const auto per_sample_state = method_->per_sample_state();
  const bool needed = stop_requested() || ending_ || iteration_ == last_;
  if (needed) wait_for_writer();  // for the previous checkpoint
  ssl::run_on_all_ranks(*group_, [&] {
    if (!state_->finite())
      throw MismatchError("weights are not finite after step ", iteration_, monitor_->checkpoint_hint(),
                          ". Start over with a lower --optimizer.lr");
    if (!is_rank0_) return;
    require_folder();
    if (!needed && !writer_->wait_for(heartbeat_)) {
      progress_->warn("the previous checkpoint is still being written (a slow disk?); this one is skipped");
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
      if (iteration_ == last_)  // write_encoder() reports it, after the encoder is written
        unsaved_ = std::move(failure);
      else if (!failure.empty())
        throw Error(failure);
    });
  }
  if (needed) saved_ = iteration_;  // other checkpoints may have been skipped or may fail later
  monitor_->saved();
  saved_at_ = std::chrono::steady_clock::now();
  throughput_->resume(loader_->seconds_waited());
}

/// Saves a checkpoint when training cannot continue. A failure is a warning, so that it does not hide why the run ends.
void Run::save_before_the_end() {
  ending_ = true;
  try {
    monitor_->flush();
    if (iteration_ == saved_) return;
    save();
    progress_->say(concat("saved step ", iteration_, ", at which training had to end"));
  } catch (const Error& error) {
    progress_->warn(concat("no checkpoint of step ", iteration_, ": ", error.what()));
  }
}

/// If encoder.safetensors exists and its weights are not the current ones (they are of a later step whose checkpoint is damaged, or a
/// user's), renames it to encoder-N.safetensors, with the first free N from 1, and returns a warning; else returns an empty string.
std::string Run::move_stale_encoder() const {
  const auto path = folder_->file("encoder.safetensors");
  if (!data::exists(path)) return "";
  std::map<std::string, at::Tensor> there;
  const auto broken = find_damage([&] {  // a file that cannot be parsed is not this encoder's
    const auto file = ssl::read_safetensors(path);
    there.insert(file.tensors.begin(), file.tensors.end());
  });
  const auto mine = ssl::state_of(method_->encoder());
  const bool same = broken.empty() && there.size() == mine.size() && std::ranges::all_of(mine, [&](const auto& item) {
                      const auto found = there.find(item.first);
                      return found != there.end() && found->second.equal(item.second.detach().cpu());
                    });
  if (same) return "";
  const auto folder = std::filesystem::path(path).parent_path();
  std::filesystem::path aside;
  for (int number = 1; aside.empty() || data::exists(aside.string()); ++number)
    aside = folder / concat("encoder-", number, ".safetensors");
  std::filesystem::rename(path, aside);
  return concat("encoder.safetensors has other weights than step ", iteration_, ": it is kept as ", aside.string());
}

/// The last action of a run: writes encoder.safetensors, then reports when the last step has no checkpoint. If the run had finished
/// before this program started (`had_finished`), sets `loss` to that in the last line of metrics.jsonl, NaN
/// when there is none.
void Run::write_encoder(const PretrainResult& result, bool had_finished, double& loss) {
  run_on_rank0(*group_, options_.init_timeout, [&] {
    if (had_finished) {
      const auto line = JsonLines::last(folder_->file("metrics.jsonl"));
      const auto logged = line.is_object() ? line.value("loss", nlohmann::json()) : nlohmann::json();
      loss = logged.is_number() ? logged.get<double>() : std::nan("");
      if (const auto kept = move_stale_encoder(); !kept.empty()) progress_->warn(kept);
    } else {
      require_folder();
    }
    if (result.exit_code == 0 && !(had_finished && data::exists(folder_->file("encoder.safetensors"))))
      ssl::write_encoder(folder_->file("encoder.safetensors"), method_->encoder(), options_.encoder,
                         encoder_metadata(options_));
    if (unsaved_.empty()) return;
    // Without the checkpoint a run that --max-steps ended early cannot resume from here, which is an error.
    const auto lost = concat(unsaved_, "; ", folder_->file("encoder.safetensors"), " has the trained weights");
    if (iteration_ < total_) throw Error(lost, ", but the run cannot resume from step ", iteration_);
    progress_->warn(lost);
  });
}

}  // namespace unlabel::launch
