#include <unlabel/augment/error.h>
#include <unlabel/data/io/files.h>
#include <unlabel/launch/checkpoint/checkpoint.h>
#include <unlabel/ssl/weights/safetensors.h>

#include <torch/types.h>

#include <filesystem>

namespace unlabel::launch {

namespace {

/// Reads one step-* folder. Throws Error when it is damaged.
Checkpoint read_one(const std::string& path, const CheckResumable& check) {
  Checkpoint checkpoint;
  checkpoint.training = verify_checkpoint(path);
  if (check) check(checkpoint.training, path + "/training.json");
  checkpoint.iteration = checkpoint.training.at("iteration").get<std::int64_t>();
  checkpoint.tensors = ssl::read_safetensors(state_file(path)).tensors;
  return checkpoint;
}

}  // namespace

void pack(const Checkpoint& checkpoint, CheckpointFiles& files) {
  files.iteration = checkpoint.iteration;
  files.training = checkpoint.training;
  ssl::format_safetensors({checkpoint.tensors, {}}, files.state);
}

EncoderLocation find_encoder(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_directory(path, error)) return {path, {}};
  const std::string finished = path + "/encoder.safetensors", inside = path + "/checkpoints";
  if (data::exists(finished)) return {finished, {}};
  // No exported encoder: `path` is a run folder that contains checkpoints/, or that folder or a checkpoint itself.
  const std::string checkpoints = data::exists(inside) ? inside : path;
  if (newest_checkpoint(checkpoints) || is_checkpoint(checkpoints)) return {{}, checkpoints};
  return {};
}

Checkpoint read_checkpoint(const std::string& path, std::vector<std::string>* skipped, const CheckResumable& check) {
  // Resolve the link `latest` once: a running training may change it between the reads of two files.
  std::error_code unreadable;
  if (is_checkpoint(path)) return read_one(std::filesystem::weakly_canonical(path, unreadable).string(), check);
  // Newest first. Damage leads to the next older checkpoint; other errors (permissions, I/O) end the search, because training must not
  // restart from an older checkpoint when a newer one may be intact.
  std::string reasons;
  for (const auto& [step, folder] : list_checkpoints(path)) {
    Checkpoint checkpoint;
    const auto reason = find_damage([&] {
      checkpoint = read_one(folder, check);
      if (checkpoint.iteration != step)
        throw Error(folder, " is damaged: its training.json belongs to step ", checkpoint.iteration);
    });
    if (reason.empty()) return checkpoint;
    if (skipped) skipped->push_back(reason);
    reasons += "; " + reason;
  }
  throw MismatchError("no checkpoint in ", path, " can be read", reasons,
                      "; to start over, choose another --out or move the checkpoints");
}

}  // namespace unlabel::launch
