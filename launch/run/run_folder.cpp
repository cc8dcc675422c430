#include <unlabel/augment/error.h>
#include <unlabel/augment/json_text.h>
#include <unlabel/augment/system_error.h>
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/launch/run/run_folder.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <sstream>
#include <string_view>
#include <utility>

namespace unlabel::launch {

namespace fs = std::filesystem;

namespace {

constexpr const char* kEncoder = "encoder.safetensors";
/// The files of a run, which it writes, truncates or replaces.
constexpr std::array kFiles{"config.json",     "metrics.jsonl", "replaced.jsonl",
                            "nonfinite.jsonl", "data_files.gz", kEncoder};
/// How every lock file that a run wrote begins: "process PID on HOST".
constexpr std::string_view kLockBegins = "process ";

/// Whether flock() failed with an error that means that the file system has no locks (NFS without lockd, Lustre mounted without flock).
bool lacks_locks(int error) {
  return error == ENOSYS || error == ENOLCK || error == EOPNOTSUPP || error == ENOTSUP || error == EINVAL;
}

}  // namespace

RunFolder::RunFolder(std::string path, std::int64_t bytes_needed, bool has_checkpoint) : path_(std::move(path)) {
  std::error_code error;
  // Check the free space before anything is created, on the disk of the nearest existing parent folder.
  fs::path existing = fs::absolute(path_, error);
  while (!existing.empty() && !fs::exists(existing, error) && existing != existing.root_path())
    existing = existing.parent_path();
  if (!error && !fs::is_directory(existing, error))
    throw UsageError("--out ", path_, ": ", existing.string(), " is not a folder; choose another path");
  const auto space = fs::space(existing, error);
  if (!error && space.available < static_cast<std::uintmax_t>(bytes_needed))
    throw UsageError("--out ", path_, ": the disk has ", space.available >> 20, " MB free and the run needs about ",
                     bytes_needed >> 20, " MB; free some space or choose another path");
  fs::create_directories(path_, error);
  if (error) refuse_place(error.value());
  take_lock();
  try {
    require_no_foreign_files(has_checkpoint);
    require_place_for_checkpoints();
    char host[64] = "?";
    ::gethostname(host, sizeof host - 1);
    const std::string me = concat(kLockBegins, ::getpid(), " on ", host);
    // Write first, truncate second: killed in between, the process leaves a lock file that a run recognizes as a run's, not an empty one.
    if (::pwrite(lock_.get(), me.data(), me.size(), 0) < 0 ||
        ::ftruncate(lock_.get(), static_cast<off_t>(me.size())) != 0)
      refuse_place(errno);
  } catch (...) {
    if (made_lock_) ::unlink(file(".lock").c_str());
    throw;
  }
  if (warning_.empty()) remove_temporaries();
}

void RunFolder::refuse_place(int error) const {
  const auto text = concat("--out ", path_, ": cannot write there");
  if (fault_kind(error) == FaultKind::kOutside) throw_system_error(text, error);
  throw UsageError(text, ": ", reason_of(error));
}

void RunFolder::take_lock() {
  const std::string place = file(".lock");
  struct stat status {};
  while (true) {
    // Create .lock, or open the existing one. O_NOFOLLOW: what a link points to must not be overwritten. O_NONBLOCK: opening a named pipe
    // must not block.
    constexpr int kHow = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    lock_ = data::FileDescriptor(::open(place.c_str(), kHow | O_CREAT | O_EXCL, 0666));
    made_lock_ = lock_.get() >= 0;
    const bool there = !made_lock_ && errno == EEXIST;
    if (there) lock_ = data::FileDescriptor(::open(place.c_str(), kHow));
    if (lock_.get() < 0 && (errno == EINTR || (there && errno == ENOENT))) continue;  // removed between the two calls
    if (lock_.get() < 0 && errno == ELOOP)
      throw UsageError("--out ", path_,
                       ": the file .lock there is a symbolic link; remove it or choose another folder");
    if (lock_.get() < 0) refuse_place(errno);
    if (::fstat(lock_.get(), &status) != 0) throw_system_error(concat("cannot read ", place), errno);
    // An existing lock file must be empty or begin as one that a run wrote; anything else is a user's file and must not be overwritten.
    char holder[128] = {};
    const bool plain = S_ISREG(status.st_mode), shared = plain && status.st_nlink > 1;
    const ssize_t size = plain ? ::pread(lock_.get(), holder, sizeof holder - 1, 0) : 0;
    if (size < 0) throw_system_error(concat("cannot read ", place), errno);
    const bool ours = std::string_view(holder).starts_with(kLockBegins);
    if (!plain || ((size > 0 || shared) && !ours))
      throw UsageError("--out ", path_, ": the file .lock there ",
                       shared ? "is a hard link to another file" : "was not written by a run",
                       "; remove it or choose another folder");
    new_lock_ = size == 0;
    int locked;
    do {
      locked = ::flock(lock_.get(), LOCK_EX | LOCK_NB);
    } while (locked != 0 && errno == EINTR);
    if (locked != 0 && errno == EWOULDBLOCK)
      throw UsageError("--out ", path_, " is in use by another run (", size > 0 ? holder : "unknown process",
                       "); wait for it or choose another folder");
    if (locked != 0 && !lacks_locks(errno)) throw_system_error(concat("cannot lock ", place), errno);
    if (locked != 0) {
      warning_ = concat("the file system of ", path_, " has no locks (", reason_of(errno),
                        "): make sure yourself that no other run writes to this folder");
      return;
    }
    // .lock may have been deleted or replaced before it was locked: then try again. If it has more than one hard link (a copy of the run's
    // folder made with `cp -l`), a lock would apply to both folders: delete it here and create a new one.
    struct stat now {};
    if (::lstat(place.c_str(), &now) != 0 || now.st_dev != status.st_dev || now.st_ino != status.st_ino) continue;
    if (now.st_nlink == 1) return;
    if (::unlink(place.c_str()) != 0 && errno != ENOENT) refuse_place(errno);
  }
}

void RunFolder::require_no_foreign_files(bool has_checkpoint) const {
  for (const char* name : kFiles) {
    const auto path = file(name);
    std::error_code error;
    const auto type = fs::symlink_status(path, error).type();
    if (type == fs::file_type::not_found) continue;
    if (type == fs::file_type::none) throw_system_error(concat("cannot look at ", path), error.value());
    if (type != fs::file_type::regular)
      throw UsageError(path, " is not a regular file, and the run would write to it; move it, or choose another --out");
    if (has_checkpoint) continue;
    // Without a checkpoint an encoder cannot be this run's. The other files may be those of a run that was stopped before its first
    // checkpoint and now starts over; a new lock says that no run has used this folder.
    if (name == kEncoder)
      throw UsageError(path, " exists, but no checkpoint shows that this run wrote it, and the run would replace it; ",
                       "choose another --out, or move the file");
    if (new_lock_)
      throw UsageError(path, " exists, but no run has used ", path_,
                       ", and this run would replace the file; choose another --out");
  }
}

void RunFolder::require_place_for_checkpoints() const {
  const auto place = file("checkpoints");
  std::error_code error;
  if (fs::symlink_status(place, error).type() == fs::file_type::not_found) return;
  if (!data::exists(place)) throw UsageError(place, " is a broken symbolic link; remove it, or choose another --out");
  if (::access(place.c_str(), W_OK | X_OK) == 0) return;
  if (fault_kind(errno) == FaultKind::kOutside) throw_system_error(concat("cannot look at ", place), errno);
  throw UsageError(place, ": checkpoints cannot be written there: ", reason_of(errno), "; choose another --out");
}

/// Removes FILE.tmp-PID, the temporary files of atomic writes, for the files of a run only.
void RunFolder::remove_temporaries() const {
  std::error_code error;
  for (fs::directory_iterator entry(path_, error), end; !error && entry != end; entry.increment(error)) {
    const auto name = entry->path().filename().string();
    const auto mark = name.rfind(".tmp-");
    if (mark == std::string::npos || name.find_first_not_of("0123456789", mark + 5) != std::string::npos) continue;
    if (std::ranges::find(kFiles, name.substr(0, mark)) == kFiles.end()) continue;
    std::error_code ignored;
    if (entry->symlink_status(ignored).type() == fs::file_type::regular) fs::remove(entry->path(), ignored);
  }
}

void RunFolder::require_ours() const {
  struct stat mine {
  }, there{};
  if (::fstat(lock_.get(), &mine) != 0) return;
  const bool seen = ::lstat(file(".lock").c_str(), &there) == 0;
  // Only a different file, or a missing one, proves that the folder changed; other errors (a disk that does not answer) do not.
  if (seen ? mine.st_dev == there.st_dev && mine.st_ino == there.st_ino : errno != ENOENT && errno != ENOTDIR) return;
  throw Error(
      "the folder ", path_, seen ? " was replaced, or taken over by another run," : " or its file .lock was removed",
      " while this run was using it: nothing more is written there, and training since the last checkpoint is lost");
}

bool is_file_of_run(const std::string& path, const std::string& run) {
  std::error_code error;
  const auto place = fs::weakly_canonical(path, error);
  if (error) return false;
  const auto name = place.filename().string();
  const auto folder = place.parent_path();
  // Every file inside a checkpoint's folder counts: it is deleted together with the checkpoint.
  if (fs::exists(folder / "manifest.json", error) && fs::exists(folder / "training.json", error)) return true;
  if (name != ".lock" && name != "checkpoints" && !name.starts_with("events.out.tfevents.") &&
      std::ranges::find(kFiles, name) == kFiles.end())
    return false;
  // The name is one that runs use. The folder is a run's when the caller says so, or when it contains a run's lock file.
  if (!run.empty() && fs::weakly_canonical(run, error) == folder) return true;
  std::string holder(kLockBegins.size(), '\0');
  const data::FileDescriptor lock(::open((folder / ".lock").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  return ::pread(lock.get(), holder.data(), holder.size(), 0) == static_cast<ssize_t>(holder.size()) &&
         holder == kLockBegins;
}

nlohmann::json read_run_json(const std::string& path) {
  std::error_code unknown;
  const auto type = fs::status(path, unknown).type();
  if (!unknown && type != fs::file_type::regular && type != fs::file_type::directory)
    throw UsageError("cannot read ", path, ": not a regular file");
  return read_json_file(path);
}

namespace {

/// If a file has more than one hard link (a copy of a run made with `cp -l`), replaces it by a copy: it will be written in place, which
/// must not change the other run's file.
void unshare(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink == 1) return;
  const auto copy = concat(path, ".tmp-", ::getpid());
  std::error_code error, ignored;
  if (fs::copy_file(path, copy, fs::copy_options::overwrite_existing, error)) fs::rename(copy, path, error);
  if (!error) return;
  fs::remove(copy, ignored);
  throw_system_error(concat("cannot copy ", path), error.value());
}

}  // namespace

JsonLines::JsonLines(const std::string& path) {
  unshare(path);
  constexpr int kHow = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  file_ = data::FileDescriptor(::open(path.c_str(), kHow, 0666));
  if (file_.get() < 0) throw_system_error(concat("cannot write ", path), errno);
}

bool JsonLines::append(const nlohmann::json& object) {
  return data::append_atomically(file_.get(), json_line(object) + "\n");
}

void JsonLines::flush() { ::fsync(file_.get()); }

namespace {

/// Reads `size` bytes of a file from offset `begin`.
std::string read_part(const data::OpenFile& file, const std::string& path, std::int64_t begin, std::int64_t size) {
  std::string part(static_cast<std::size_t>(size), '\0');
  data::read_at(file.fd, static_cast<std::uint64_t>(begin), part.data(), part.size(), path);
  return part;
}

}  // namespace

nlohmann::json JsonLines::last(const std::string& path) {
  if (!data::exists(path)) return {};
  const auto file = data::open_file(AT_FDCWD, path.c_str(), path);
  constexpr std::int64_t kMost = 1 << 16;
  const auto size = static_cast<std::int64_t>(file.size), begin = std::max<std::int64_t>(0, size - kMost);
  std::istringstream text(read_part(file, path, begin, size - begin));
  nlohmann::json found;
  for (std::string line; std::getline(text, line) && !text.eof();)  // a line without its newline is incomplete
    if (auto object = try_parse_json(line)) found = std::move(*object);
  return found;
}

void JsonLines::cut(const std::string& path, const std::string& key, std::int64_t limit) {
  unshare(path);
  if (!data::exists(path)) return;
  const auto file = data::open_file(AT_FDCWD, path.c_str(), path);
  // Read backwards in pieces, so that the cost depends on what is removed and not on the length of the log.
  constexpr std::int64_t kPiece = 1 << 16;
  const auto size = static_cast<std::int64_t>(file.size);
  auto end = size;
  std::string tail;  // the file's bytes from `begin` to `end`
  for (std::int64_t begin = end; end > 0;) {
    // Find where the last line in `tail` starts: after the newline before it. If that is not in `tail`, read another piece.
    const auto before = tail.size() < 2 ? std::string::npos : tail.rfind('\n', tail.size() - 2);
    if (before == std::string::npos && begin > 0) {
      const auto piece = std::min(kPiece, begin);
      begin -= piece;
      tail = read_part(file, path, begin, piece) + tail;
      continue;
    }
    const std::size_t start = before == std::string::npos ? 0 : before + 1;
    const auto object = try_parse_json(std::string_view(tail).substr(start)).value_or(nullptr);
    if (tail.back() == '\n' && object.is_object() && object.value(key, nlohmann::json()).is_number_integer() &&
        object.at(key).get<std::int64_t>() < limit)
      break;
    // This line is removed: continue with the one before it.
    tail.resize(start);
    end = begin + static_cast<std::int64_t>(start);
  }
  std::error_code error;
  if (end < size) fs::resize_file(path, static_cast<std::uintmax_t>(end), error);
  if (error) throw Error("cannot truncate ", path, ": ", error.message());
}

}  // namespace unlabel::launch
