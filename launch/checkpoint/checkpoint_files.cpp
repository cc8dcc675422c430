#include <unlabel/augment/error.h>
#include <unlabel/augment/exception_text.h>
#include <unlabel/augment/json_line.h>
#include <unlabel/augment/json_text.h>
#include <unlabel/augment/system_error.h>
#include <unlabel/augment/transforms/transform.h>
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/data/io/files.h>
#include <unlabel/data/io/retry.h>
#include <unlabel/launch/checkpoint/checkpoint_files.h>
#include <unlabel/launch/run/command_output.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <string_view>

namespace unlabel::launch {

namespace fs = std::filesystem;

namespace {

constexpr const char* kState = "state.safetensors";
constexpr const char* kTraining = "training.json";
constexpr const char* kManifest = "manifest.json";
constexpr int kFormat = 1;
constexpr std::size_t kMaxTraining = std::size_t{256} << 20;  ///< bytes; the file has the index of every broken sample

/// The folder name of a checkpoint, with at least 8 digits: "step-00001200".
std::string step_name(std::int64_t iteration) {
  std::string digits = std::to_string(iteration);
  return "step-" + std::string(digits.size() < 8 ? 8 - digits.size() : 0, '0') + digits;
}

/// The iteration of a finished checkpoint's folder name; nullopt for anything else, temporary folders included.
std::optional<std::int64_t> step_of(const std::string& name) {
  if (!name.starts_with("step-") || name.size() < 6 || name.size() > 23) return std::nullopt;
  if (name.find_first_not_of("0123456789", 5) != std::string::npos) return std::nullopt;
  const std::int64_t step = std::stoll(name.substr(5));
  return name == step_name(step) ? std::optional(step) : std::nullopt;
}

/// Size and CRC-32 of a file, which is added in pieces, as in a manifest.
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

/// Throws what a failed system call means for a checkpoint's file: missing (damage), a disk that does not answer, or unreadable.
[[noreturn]] void fail_to_read(const std::string& path, int error) {
  if (error == ENOENT) throw Error(path, " is missing");
  if (fault_kind(error) != FaultKind::kFile) throw_system_error(concat("cannot read ", path), error);
  throw UnreadableCheckpoint(path, " cannot be read: ", reason_of(error));
}

/// Passes a file to `take` in pieces, because it may be larger than the free memory. Throws Error for a file of more than `most` bytes.
template <class Take>
void read_pieces(const std::string& path, std::uint64_t most, const Take& take) {
  // O_NONBLOCK: opening a named pipe must not block.
  const data::FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) fail_to_read(path, errno);
  if (!S_ISREG(status.st_mode)) throw Error(path, " is damaged: it is not a regular file");
  if (static_cast<std::uint64_t>(status.st_size) > most)
    throw Error(path, " is damaged: it has ", status.st_size, " bytes, more than ", most);
  std::vector<char> piece(1 << 20);
  while (true) {
    const ssize_t count = ::read(file.get(), piece.data(), piece.size());
    if (count == 0) return;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_to_read(path, errno);
    take(std::string_view(piece.data(), static_cast<std::size_t>(count)));
  }
}

/// The manifest's entry for a file on the disk. A read that fails for an I/O error is repeated from the start (data::retry).
nlohmann::json size_and_crc(const fs::path& path) {
  return data::retry([&] {
    SizeAndCrc sum;
    read_pieces(path.string(), std::numeric_limits<std::uint64_t>::max(),
                [&](std::string_view piece) { sum.add(piece); });
    return sum.json();
  });
}

std::string text_of(const std::string& path) {
  return data::retry([&] {
    std::string text;
    read_pieces(path, kMaxTraining, [&](std::string_view piece) { text += piece; });
    return text;
  });
}

/// Throws Error when size or CRC-32 of a file differs from the manifest's `files`.
void verify_files(const fs::path& folder, const nlohmann::json& files) {
  for (const char* name : {kState, kTraining}) {
    const auto path = folder / name;
    const auto said = files.value(name, nlohmann::json());
    // A different size shows the damage without reading the file.
    std::error_code unknown;
    const auto size = fs::file_size(path, unknown);
    const bool other_size = !unknown && said.is_object() && said.value("bytes", nlohmann::json()) != size;
    if (other_size || said != size_and_crc(path))
      throw Error(path.string(), " is damaged: its size or CRC-32 differs from the manifest's");
  }
}

/// Whether `folder`/latest is a symbolic link or missing. Anything else was not made by a run and must not be replaced.
bool is_our_latest(const std::string& folder) {
  std::error_code ignored;
  const auto type = fs::symlink_status(fs::path(folder) / "latest", ignored).type();
  return type == fs::file_type::symlink || type == fs::file_type::not_found;
}

/// Makes the link `folder`/latest point to `name`, atomically by a rename.
void swap_latest(const std::string& folder, const std::string& name) {
  if (!is_our_latest(folder)) return;
  const fs::path link = fs::path(folder) / (".latest.tmp-" + std::to_string(::getpid()));
  std::error_code ignored;
  fs::remove(link, ignored);
  fs::create_symlink(name, link);
  fs::rename(link, fs::path(folder) / "latest");
}

/// Temporary names begin with a dot and end with the process's number: readers ignore them, and the next run deletes them.
fs::path temporary_place(const std::string& folder, const std::string& name) {
  return fs::path(folder) / ("." + name + ".tmp-" + std::to_string(::getpid()));
}

/// Deletes a checkpoint. It is renamed first, so that no partially deleted checkpoint ever has a checkpoint's name.
void remove_checkpoint(const std::string& folder, const std::string& name) {
  const fs::path going = temporary_place(folder, name + "-old");
  std::error_code error;
  fs::rename(fs::path(folder) / name, going, error);
  fs::remove_all(error ? fs::path(folder) / name : going, error);
}

/// Whether an intact checkpoint of this step exists. Throws for errors that do not mean damage (see find_damage()).
bool is_whole(const fs::path& folder, std::int64_t step) {
  bool whole = false;
  find_damage([&] { whole = verify_checkpoint(folder.string()).at("iteration") == step; });
  return whole;
}

/// Writes a checkpoint to the folder `temporary`, verifies it, and renames the folder to `name`.
void put_checkpoint(const std::string& folder, const std::string& name, const fs::path& temporary,
                    const CheckpointFiles& files) {
  fs::create_directory(temporary);
  auto training = files.training;
  training["iteration"] = files.iteration;
  const std::string training_text = json_text(training);
  nlohmann::json manifest = {{"format", kFormat}, {"files", nlohmann::json::object()}};
  // The manifest's checksums are those of the bytes in memory; reading the files back then detects what was written wrongly.
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
  remove_checkpoint(folder, name);  // one of the same step that is damaged
  fs::rename(temporary, fs::path(folder) / name);
  data::flush_folder(folder);
}

/// Deletes the checkpoints up to step `written` that `keep` does not cover.
void remove_old(const std::string& folder, std::int64_t written, const Retention& keep) {
  int place = 0;
  for (const auto& [step, path] : list_checkpoints(folder)) {
    // A checkpoint of a later step was not written by this run: keep it for inspection.
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
    // An intact checkpoint of the same step is kept: replacing it would leave a moment without it.
    if (!is_whole(final_place, files.iteration)) put_checkpoint(folder, name, temporary, files);
  } catch (const std::exception& error) {
    fs::remove_all(temporary, ignored);
    throw Error("cannot write checkpoint ", final_place.string(), ": ", exception_text(error));
  }
  // From here on failures are ignored: the checkpoint is complete, and is found without the link.
  try {
    swap_latest(folder, name);
    data::flush_folder(folder);
  } catch (const std::exception&) {
    if (is_our_latest(folder))
      fs::remove(fs::path(folder) / "latest", ignored);  // better no link than one to an older checkpoint
  }
  try {
    remove_old(folder, files.iteration, keep);
  } catch (const std::exception&) {  // tried again after the next checkpoint
  }
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
  // An unreadable folder must not count as one without checkpoints: the run would start over.
  if (error == std::errc::not_a_directory)
    throw UsageError("cannot read ", folder, ": ", error.message(), "; name a folder, not a file");
  if (error && error != std::errc::no_such_file_or_directory)
    throw_system_error(concat("cannot read ", folder), error.value());
  std::sort(found.rbegin(), found.rend());
  return found;
}

std::optional<std::int64_t> newest_checkpoint(const std::string& folder) {
  for (const auto& [step, path] : list_checkpoints(folder))
    if (is_checkpoint(path)) return step;
  return std::nullopt;
}

std::optional<nlohmann::json> checkpoint_options(const std::string& folder) {
  // Take the first checkpoint whose training.json is valid; `folder` may be a checkpoint itself.
  const auto one = is_checkpoint(folder);
  for (const auto& [step, path] : one ? std::vector{std::pair(std::int64_t{0}, folder)} : list_checkpoints(folder)) {
    if (!one && !is_checkpoint(path)) continue;
    const auto place = (fs::path(path) / kTraining).string();
    std::optional<nlohmann::json> options;
    // Damage is not reported here but by read_checkpoint, when the run resumes.
    find_damage([&] {
      const auto training = parse_training(text_of(place), place);
      check_resumable(training, place);
      options = training.at("options");
    });
    if (options) return options;
  }
  return std::nullopt;
}

std::string find_damage(const std::function<void()>& read) {
  try {
    read();
    return {};
  } catch (const UnreadableCheckpoint&) {
    throw;
  } catch (const IoError&) {
    throw;
  } catch (const UsageError&) {  // a limit of the process: too many open files
    throw;
  } catch (const Error& error) {
    return error.what();
  }
}

void quarantine_damaged(const std::string& folder, std::int64_t resumed_step) {
  std::error_code ignored;
  for (const auto& [step, path] : list_checkpoints(folder)) {
    if (step <= resumed_step) break;
    const auto aside = fs::path(folder) / ("damaged-" + step_name(step));
    fs::remove_all(aside, ignored);
    fs::rename(path, aside, ignored);
  }
}

bool is_checkpoint(const std::string& path) {
  return data::retry([&] {
    struct stat status {};
    const auto manifest = (fs::path(path) / kManifest).string();
    if (::stat(manifest.c_str(), &status) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    fail_to_read(manifest, errno);
  });
}

nlohmann::json parse_manifest(std::string_view text, const std::string& where) {
  const auto manifest = parse_json(text, where);
  auto files = json_member<nlohmann::json::object_t>(manifest, "files", where);
  if (const auto format = manifest.value("format", nlohmann::json()); format != kFormat)
    throw Error(where, " has checkpoint format ", shortened(json_line(format)), "; this program reads ", kFormat);
  return files;
}

nlohmann::json parse_training(std::string_view text, const std::string& where) {
  auto training = parse_json(text, where, {kMaxTraining});
  if (const auto iteration = json_member<std::int64_t>(training, "iteration", where); iteration < 0)
    throw JsonError(where, " is damaged: 'iteration' is ", iteration);
  if (const auto options = training.find("options"); options != training.end()) add_later_options(*options);
  if (const auto views = training.find("views"); views != training.end()) augment::rename_transforms(*views);
  return training;
}

void add_later_options(nlohmann::json& options) {
  if (!options.is_object()) return;
  const auto augment = options.find("augment");
  if (augment == options.end() || !augment->is_object()) return;
  if (augment->value("preset", nlohmann::json()) == "byol" && !augment->contains("crop_family"))
    (*augment)["crop_family"] = "torchvision";
}

void check_resumable(const nlohmann::json& training, const std::string& where) {
  using Object = nlohmann::json::object_t;
  using Integers = std::vector<std::int64_t>;
  // Each json_member call throws unless the field has the given type; fields that older versions did not write are optional.
  json_member<Object>(training, "options", where);
  const nlohmann::json data = json_member<Object>(training, "data", where);
  json_member<std::string>(data, "description", where);
  json_member<std::int64_t>(data, "images", where);
  json_member<std::string>(data, "fingerprint", where);
  if (training.contains("world_size")) json_member<int>(training, "world_size", where);
  for (const auto& one : training.value("arithmetic", nlohmann::json::array())) {
    json_member<int>(one, "threads", where);
    json_member<std::string>(one, "capability", where);
  }
  if (const auto health = training.find("health"); health != training.end() && !health->is_null()) {
    json_member<Integers>(*health, "nonfinite", where);
    json_member<Integers>(*health, "broken", where);
    if (health->contains("updates")) json_member<std::int64_t>(*health, "updates", where);
    if (!health->contains("collapse")) return;
    const nlohmann::json collapse = json_member<Object>(*health, "collapse", where);
    for (const auto& [name, count] : collapse.items()) json_member<int>(collapse, name, where);
  }
}

nlohmann::json verify_checkpoint(const std::string& path) {
  const std::string manifest = (fs::path(path) / kManifest).string();
  verify_files(path, parse_manifest(text_of(manifest), manifest));
  const std::string training = (fs::path(path) / kTraining).string();
  return parse_training(text_of(training), training);
}

std::string state_file(const std::string& path) { return (fs::path(path) / kState).string(); }

}  // namespace unlabel::launch
