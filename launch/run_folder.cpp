#include <unlabel/augment/error.h>
#include <unlabel/augment/json_line.h>
#include <unlabel/augment/json_text.h>
#include <unlabel/data/atomic_file.h>
#include <unlabel/launch/append_whole.h>
#include <unlabel/launch/run_folder.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

namespace unlabel::launch {

namespace fs = std::filesystem;

RunFolder::RunFolder(std::string path, std::int64_t bytes_needed) : path_(std::move(path)) {
  std::error_code error;
  // Look for room before making anything: at the nearest folder that exists.
  fs::path existing = fs::absolute(path_, error);
  while (!existing.empty() && !fs::exists(existing, error) && existing != existing.root_path())
    existing = existing.parent_path();
  if (!error && !fs::is_directory(existing, error))
    throw UsageError("--out ", path_, ": ", existing.string(), " is not a folder; choose another place");
  const auto space = fs::space(existing, error);
  if (!error && space.available < static_cast<std::uintmax_t>(bytes_needed))
    throw UsageError("--out ", path_, ": the disk has ", space.available >> 20, " MB free and the run needs about ",
                     bytes_needed >> 20, " MB; make room or choose another place");
  fs::create_directories(path_, error);
  if (error) throw UsageError("--out ", path_, ": cannot make the folder: ", error.message());

  const std::string lock = file(".lock");
  lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_ < 0) throw UsageError("--out ", path_, ": cannot write there: ", std::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    char holder[128] = {};
    const ssize_t size = ::read(lock_, holder, sizeof holder - 1);
    ::close(lock_);
    lock_ = -1;
    throw UsageError("--out ", path_, " is in use by another run (", size > 0 ? holder : "unknown process",
                     "); wait for it or choose another folder");
  }
  char host[64] = "?";
  ::gethostname(host, sizeof host - 1);
  const std::string me = concat("process ", ::getpid(), " on ", host);
  if (::ftruncate(lock_, 0) != 0 || ::write(lock_, me.data(), me.size()) < 0) {
    const int reason = errno;
    ::close(lock_);
    lock_ = -1;
    throw UsageError("--out ", path_, ": cannot write there: ", std::strerror(reason));
  }
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) ::close(lock_);  // the file stays: removing it would race with a run that is just taking it
}

JsonLines::JsonLines(std::string path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw Error("cannot write ", path_, ": ", std::strerror(errno));
}

JsonLines::~JsonLines() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool JsonLines::append(const nlohmann::json& object) { return append_whole(descriptor_, json_line(object) + "\n"); }

void JsonLines::flush() { ::fsync(descriptor_); }

nlohmann::json JsonLines::last(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const auto size = static_cast<std::streamoff>(file.tellg());
  constexpr std::streamoff kMost = 1 << 16;
  file.seekg(std::max<std::streamoff>(0, size - kMost));
  nlohmann::json found;
  for (std::string line; std::getline(file, line) && !file.eof();)  // what no newline ends is not whole
    if (auto object = try_parse_json(line)) found = std::move(*object);
  return found;
}

void JsonLines::cut(const std::string& path, const std::string& key, std::int64_t limit) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return;
  // From the end, so that a log of millions of steps costs no more than what is dropped of it.
  constexpr std::int64_t kPiece = 1 << 16;
  std::int64_t end = file.tellg();
  const std::int64_t size = end;
  std::string tail;  // of the file, from `begin` to `end`
  for (std::int64_t begin = end; end > 0;) {
    // The last line that is whole: from after the newline before it.
    const auto before = tail.size() < 2 ? std::string::npos : tail.rfind('\n', tail.size() - 2);
    if (before == std::string::npos && begin > 0) {
      const auto piece = std::min(kPiece, begin);
      std::string more(static_cast<std::size_t>(piece), '\0');
      file.seekg(begin - piece);
      if (!file.read(more.data(), piece)) throw Error("cannot read ", path);
      begin -= piece;
      tail = more + tail;
      continue;
    }
    const std::size_t start = before == std::string::npos ? 0 : before + 1;
    const auto object = try_parse_json(std::string_view(tail).substr(start)).value_or(nullptr);
    if (tail.back() == '\n' && object.is_object() && object.value(key, nlohmann::json()).is_number_integer() &&
        object.at(key).get<std::int64_t>() < limit)
      break;
    tail.resize(start);
    end = begin + static_cast<std::int64_t>(start);
  }
  std::error_code error;
  if (end < size) fs::resize_file(path, static_cast<std::uintmax_t>(end), error);
  if (error) throw Error("cannot shorten ", path, ": ", error.message());
}

}  // namespace unlabel::launch
