#include <unlabel/augment/error.h>
#include <unlabel/data/atomic_file.h>
#include <unlabel/launch/checkpoint.h>
#include <unlabel/launch/command_output.h>
#include <unlabel/ssl/safetensors.h>

#include <torch/types.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace unlabel::launch {

namespace fs = std::filesystem;

namespace {

constexpr const char* kTensors = "state.safetensors";
constexpr const char* kTraining = "training.json";
constexpr const char* kManifest = "manifest.json";
constexpr int kFormat = 1;

std::string step_name(std::int64_t iteration) {
  std::string digits = std::to_string(iteration);
  return "step-" + std::string(digits.size() < 8 ? 8 - digits.size() : 0, '0') + digits;
}

/// The iteration of a finished checkpoint's folder name; nullopt for anything else, temporary folders included.
std::optional<std::int64_t> step_of(const std::string& name) {
  if (!name.starts_with("step-") || name.size() < 6 || name.size() > 23) return std::nullopt;
  if (name.find_first_not_of("0123456789", 5) != std::string::npos) return std::nullopt;
  return std::stoll(name.substr(5));
}

/// What a manifest says of a file. Reads it in pieces: it may be larger than what memory is left.
nlohmann::json size_and_crc(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> piece(1 << 20);
  std::uint64_t size = 0;
  uLong crc = ::crc32_z(0, nullptr, 0);
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    const auto count = static_cast<std::size_t>(file.gcount());
    crc = ::crc32_z(crc, reinterpret_cast<const Bytef*>(piece.data()), count);
    size += count;
  }
  if (!file.eof()) throw Error(path.string(), ": cannot be read");
  return {{"bytes", size}, {"crc32", static_cast<std::uint32_t>(crc)}};
}

/// Newest first.
std::vector<std::pair<std::int64_t, fs::path>> steps_in(const std::string& folder) {
  std::vector<std::pair<std::int64_t, fs::path>> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (const auto step = step_of(entry.path().filename().string())) found.emplace_back(*step, entry.path());
  std::sort(found.rbegin(), found.rend());
  return found;
}

Checkpoint read_one(const fs::path& folder) {
  const std::string manifest_path = (folder / kManifest).string();
  const auto manifest = nlohmann::json::parse(data::read_text_file(manifest_path), nullptr, false);
  if (!manifest.is_object() || !manifest.value("files", nlohmann::json()).is_object())
    throw Error(manifest_path, " is not a checkpoint's manifest");
  if (manifest.value("format", 0) != kFormat)
    throw Error(folder.string(), " has checkpoint format ", manifest.value("format", 0), "; this program reads ",
                kFormat);
  for (const char* name : {kTensors, kTraining}) {
    const auto path = folder / name;
    if (manifest["files"].value(name, nlohmann::json()) != size_and_crc(path))
      throw Error(path.string(), " is damaged: it is not what the manifest says");
  }
  Checkpoint checkpoint;
  checkpoint.training = nlohmann::json::parse(data::read_text_file((folder / kTraining).string()));
  checkpoint.iteration = checkpoint.training.at("iteration").get<std::int64_t>();
  checkpoint.tensors = ssl::read_safetensors((folder / kTensors).string()).tensors;
  return checkpoint;
}

}  // namespace

void write_checkpoint(const std::string& folder, const Checkpoint& checkpoint, int keep) {
  const std::string name = step_name(checkpoint.iteration);
  const fs::path final_place = fs::path(folder) / name;
  const fs::path temporary = fs::path(folder) / ("." + name + ".tmp-" + std::to_string(::getpid()));
  std::error_code ignored;
  try {
    fs::create_directories(temporary);
    ssl::write_safetensors((temporary / kTensors).string(), {checkpoint.tensors, {}});
    auto training = checkpoint.training;
    training["iteration"] = checkpoint.iteration;
    data::write_file((temporary / kTraining).string(), json_text(training));
    nlohmann::json manifest = {{"format", kFormat}, {"files", nlohmann::json::object()}};
    for (const char* file : {kTensors, kTraining}) manifest["files"][file] = size_and_crc(temporary / file);
    data::write_file((temporary / kManifest).string(), json_text(manifest));
    fs::remove_all(final_place, ignored);
    fs::rename(temporary, final_place);
    data::flush_folder(folder);

    const fs::path link = fs::path(folder) / (".latest.tmp-" + std::to_string(::getpid()));
    fs::remove(link, ignored);
    fs::create_symlink(name, link);
    fs::rename(link, fs::path(folder) / "latest");
    data::flush_folder(folder);
  } catch (const fs::filesystem_error& error) {
    fs::remove_all(temporary, ignored);
    throw Error("cannot write checkpoint ", final_place.string(), ": ", error.code().message());
  } catch (const std::exception& error) {
    fs::remove_all(temporary, ignored);
    throw Error("cannot write checkpoint ", final_place.string(), ": ", error.what());
  }
  // Later steps, which a resume has passed over as damaged, are left until they are written again.
  auto steps = steps_in(folder);
  std::erase_if(steps, [&](const auto& item) { return item.first > checkpoint.iteration; });
  for (std::size_t i = static_cast<std::size_t>(std::max(keep, 1)); i < steps.size(); ++i)
    fs::remove_all(steps[i].second, ignored);
}

void remove_unfinished_checkpoints(const std::string& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const auto name = entry.path().filename().string();
    if ((name.starts_with(".step-") || name.starts_with(".latest.")) && name.find(".tmp-") != std::string::npos)
      fs::remove_all(entry.path(), ignored);
  }
}

std::optional<std::int64_t> newest_checkpoint(const std::string& folder) {
  for (const auto& [step, path] : steps_in(folder))
    if (fs::exists(path / kManifest)) return step;
  return std::nullopt;
}

Checkpoint read_checkpoint(const std::string& path, std::vector<std::string>* skipped) {
  if (fs::exists(fs::path(path) / kManifest)) {
    try {
      return read_one(path);
    } catch (const nlohmann::json::exception& error) {
      throw Error(path, " is damaged: ", error.what());
    }
  }
  std::string reasons;
  for (const auto& [step, folder] : steps_in(path)) {
    try {
      return read_one(folder);
    } catch (const std::exception& error) {
      if (skipped) skipped->push_back(error.what());
      reasons += concat("; ", error.what());
    }
  }
  throw MismatchError("no checkpoint in ", path, " can be read", reasons);
}

}  // namespace unlabel::launch
