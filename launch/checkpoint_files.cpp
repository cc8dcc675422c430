#include <unlabel/augment/error.h>
#include <unlabel/data/atomic_file.h>
#include <unlabel/data/files.h>
#include <unlabel/launch/checkpoint_files.h>
#include <unlabel/launch/command_output.h>

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>

namespace unlabel::launch {

namespace fs = std::filesystem;

namespace {

constexpr const char* kState = "state.safetensors";
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

/// What a manifest says of a file.
class SizeAndCrc {
 public:
  void add(std::string_view bytes) {
    crc_ = ::crc32_z(crc_, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
    size_ += bytes.size();
  }
  nlohmann::json json() const { return {{"bytes", size_}, {"crc32", static_cast<std::uint32_t>(crc_)}}; }

 private:
  uLong crc_ = ::crc32_z(0, nullptr, 0);
  std::uint64_t size_ = 0;
};

/// Reads a file in pieces: it may be larger than what memory is left.
nlohmann::json size_and_crc(const fs::path& path) {
  const auto unreadable = [&] {
    return UnreadableCheckpoint(path.string(), " cannot be read: ", std::strerror(errno));
  };
  const data::FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    if (errno == ENOENT) throw Error(path.string(), " is missing");
    throw unreadable();
  }
  std::vector<char> piece(1 << 20);
  SizeAndCrc sum;
  while (true) {
    const ssize_t count = ::read(file.get(), piece.data(), piece.size());
    if (count == 0) return sum.json();
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw unreadable();
    sum.add({piece.data(), static_cast<std::size_t>(count)});
  }
}

void verify_files(const fs::path& folder, const nlohmann::json& files) {
  for (const char* name : {kState, kTraining}) {
    const auto path = folder / name;
    if (files.value(name, nlohmann::json()) != size_and_crc(path))
      throw Error(path.string(), " is damaged: it is not what the manifest says");
  }
}

/// Points `folder`/latest to `name`, by a rename.
void swap_latest(const std::string& folder, const std::string& name) {
  const fs::path link = fs::path(folder) / (".latest.tmp-" + std::to_string(::getpid()));
  std::error_code ignored;
  fs::remove(link, ignored);
  fs::create_symlink(name, link);
  fs::rename(link, fs::path(folder) / "latest");
}

fs::path temporary_place(const std::string& folder, const std::string& name) {
  return fs::path(folder) / ("." + name + ".tmp-" + std::to_string(::getpid()));
}

/// Away with it at once: a half-removed checkpoint never stands under its own name.
void remove_checkpoint(const std::string& folder, const std::string& name) {
  const fs::path going = temporary_place(folder, name + "-old");
  std::error_code error;
  fs::rename(fs::path(folder) / name, going, error);
  fs::remove_all(error ? fs::path(folder) / name : going, error);
}

void remove_old(const std::string& folder, std::int64_t written, const Retention& keep) {
  int place = 0;
  for (const auto& [step, path] : list_checkpoints(folder)) {
    // One of a later step is none of this run's: leave it to be looked at.
    if (step > written || place++ < keep.last) continue;
    if (keep.every > 0 && step % keep.every == 0) continue;
    remove_checkpoint(folder, fs::path(path).filename().string());
  }
}

}  // namespace

void write_checkpoint_files(const std::string& folder, const CheckpointFiles& files, const Retention& keep) {
  const std::string name = step_name(files.iteration);
  const fs::path final_place = fs::path(folder) / name;
  const fs::path temporary = temporary_place(folder, name);
  std::error_code ignored;
  try {
    if (fs::create_directories(folder)) data::flush_folder((fs::path(folder) / "..").string());
    fs::create_directory(temporary);
    auto training = files.training;
    training["iteration"] = files.iteration;
    const std::string training_text = json_text(training);
    nlohmann::json manifest = {{"format", kFormat}, {"files", nlohmann::json::object()}};
    const auto put = [&](const char* file, std::string_view bytes) {
      data::write_file((temporary / file).string(), bytes);
      SizeAndCrc sum;
      sum.add(bytes);
      manifest["files"][file] = sum.json();
    };
    put(kState, {files.state.data(), files.state.size()});
    put(kTraining, training_text);
    data::write_file((temporary / kManifest).string(), json_text(manifest));
    verify_files(temporary, manifest["files"]);
    remove_checkpoint(folder, name);  // a damaged one of the same step
    fs::rename(temporary, final_place);
    data::flush_folder(folder);
  } catch (const fs::filesystem_error& error) {
    fs::remove_all(temporary, ignored);
    throw Error("cannot write checkpoint ", final_place.string(), ": ", error.code().message());
  } catch (const std::exception& error) {
    fs::remove_all(temporary, ignored);
    throw Error("cannot write checkpoint ", final_place.string(), ": ", error.what());
  }
  // The checkpoint is there, and found without the link.
  try {
    swap_latest(folder, name);
    data::flush_folder(folder);
  } catch (const std::exception&) {
    fs::remove(fs::path(folder) / "latest", ignored);  // rather none than an old one
  }
  remove_old(folder, files.iteration, keep);
}

void remove_unfinished_checkpoints(const std::string& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const auto name = entry.path().filename().string();
    if ((name.starts_with(".step-") || name.starts_with(".latest.")) && name.find(".tmp-") != std::string::npos)
      fs::remove_all(entry.path(), ignored);
  }
}

std::vector<std::pair<std::int64_t, std::string>> list_checkpoints(const std::string& folder) {
  std::vector<std::pair<std::int64_t, std::string>> found;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error))
    if (const auto step = step_of(entry->path().filename().string())) found.emplace_back(*step, entry->path().string());
  // A folder that cannot be read must not pass for one without checkpoints: the run would start over.
  if (error && error != std::errc::no_such_file_or_directory)
    throw Error("cannot read ", folder, ": ", error.message());
  std::sort(found.rbegin(), found.rend());
  return found;
}

std::optional<std::int64_t> newest_checkpoint(const std::string& folder) {
  for (const auto& [step, path] : list_checkpoints(folder))
    if (is_checkpoint(path)) return step;
  return std::nullopt;
}

std::optional<nlohmann::json> checkpoint_options(const std::string& folder) {
  for (const auto& [step, path] : list_checkpoints(folder)) {
    std::ifstream file(fs::path(path) / kTraining);
    const auto training = nlohmann::json::parse(file, nullptr, false);
    if (is_checkpoint(path) && training.is_object() && training.value("options", nlohmann::json()).is_object())
      return training.at("options");
  }
  return std::nullopt;
}

void set_damaged_aside(const std::string& folder, std::int64_t resumed) {
  std::error_code ignored;
  for (const auto& [step, path] : list_checkpoints(folder)) {
    if (step <= resumed) break;
    const auto aside = fs::path(folder) / ("damaged-" + step_name(step));
    fs::remove_all(aside, ignored);
    fs::rename(path, aside, ignored);
  }
}

bool is_checkpoint(const std::string& path) {
  std::error_code error;
  return fs::exists(fs::path(path) / kManifest, error);
}

nlohmann::json verify_checkpoint(const std::string& path) {
  const std::string manifest_path = (fs::path(path) / kManifest).string();
  const auto manifest = nlohmann::json::parse(data::read_text_file(manifest_path), nullptr, false);
  if (!manifest.is_object() || !manifest.value("files", nlohmann::json()).is_object())
    throw Error(manifest_path, " is not a checkpoint's manifest");
  if (manifest.value("format", nlohmann::json()) != kFormat)
    throw Error(path, " has checkpoint format ", manifest.value("format", nlohmann::json()).dump(),
                "; this program reads ", kFormat);
  verify_files(path, manifest["files"]);
  const std::string training_path = (fs::path(path) / kTraining).string();
  auto training = nlohmann::json::parse(data::read_text_file(training_path), nullptr, false);
  if (!training.is_object() || !training.value("iteration", nlohmann::json()).is_number_integer())
    throw Error(training_path, " is damaged: it does not say which iteration it is of");
  return training;
}

std::string state_file(const std::string& path) { return (fs::path(path) / kState).string(); }

}  // namespace unlabel::launch
