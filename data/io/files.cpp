#include <unlabel/augment/codec/image_files.h>
#include <unlabel/augment/processors.h>
#include <unlabel/augment/system_error.h>
#include <unlabel/data/io/files.h>
#include <unlabel/data/io/retry.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace unlabel::data {

void Fingerprint::add(std::string_view bytes) {
  for (const char byte : bytes) hash_ = (hash_ ^ static_cast<std::uint8_t>(byte)) * 0x100000001b3;
}

void Fingerprint::add(std::uint64_t number) {
  for (int byte = 0; byte < 8; ++byte) hash_ = (hash_ ^ (number >> (8 * byte) & 0xff)) * 0x100000001b3;
}

std::uint64_t checksum_of(std::span<const std::uint8_t> bytes) {
  std::uint64_t hash = 0xcbf29ce484222325 ^ bytes.size();
  const auto add = [&](std::uint64_t word) { hash = (hash ^ word) * 0x100000001b3; };
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word = 0;
    for (std::size_t k = 0; k < 8; ++k) word |= std::uint64_t{bytes[i + k]} << (8 * k);
    add(word);
    hash ^= hash >> 32;  // a product's high bits would never reach its low ones
  }
  for (; i < bytes.size(); ++i) add(bytes[i]);
  return hash;
}

void require_memory(std::uint64_t bytes, std::string_view what) {
  constexpr std::uint64_t kSmall = std::uint64_t{64} << 20;  // not worth checking
  if (bytes < kSmall) return;
  if (const auto available = augment::available_memory(); available && *available < bytes)
    throw LimitError(what, " takes ", bytes >> 20, " MiB of memory, and ", *available >> 20, " MiB are free");
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) close(fd_);
}

FileDescriptor open_at(int folder, const char* path, int flags) {
  int fd;
  do {
    fd = openat(folder, path, flags | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  return FileDescriptor(fd);
}

FileDescriptor open_folder(const std::string& path) {
  return retry([&] {
    auto fd = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY);
    if (fd.get() < 0) throw_unreadable_folder(path, errno);
    return fd;
  });
}

OpenFile open_file(int folder, const char* path, std::string_view name) {
  // O_NONBLOCK: opening a pipe that took a file's place must not wait for a writer. It has no effect on regular files.
  OpenFile file{open_at(folder, path, O_RDONLY | O_NONBLOCK | O_NOCTTY)};
  struct stat status {};
  if (file.fd.get() < 0 || fstat(file.fd.get(), &status) != 0) {
    const int error = errno;
    // A socket's errno, and that of a node without its device, are those of a disk that is gone.
    if ((error == ENXIO || error == ENODEV) && fstatat(folder, path, &status, 0) == 0 && !S_ISREG(status.st_mode))
      throw Error("cannot read ", name, ": not a regular file");
    const bool nowhere = error == ENOENT && fstatat(folder, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
    throw_system_error(concat("cannot open ", name, nowhere ? ", a link to nowhere" : ""), error);
  }
  if (!S_ISREG(status.st_mode)) throw Error("cannot read ", name, ": not a regular file");
  file.size = static_cast<std::uint64_t>(status.st_size);
  return file;
}

void read_at(const FileDescriptor& file, std::uint64_t offset, void* out, std::size_t size, std::string_view name) {
  for (std::size_t done = 0; done < size;) {
    const auto count =
        pread(file.get(), static_cast<char*>(out) + done, size - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error = errno;  // concat may change it
      throw_system_error(concat("cannot read ", name), error);
    }
    if (count == 0)
      throw Error("cannot read ", name, ": the file has changed, and become shorter: ", done, " of ", size, " bytes");
    done += static_cast<std::size_t>(count);
  }
}

void read_file(int folder, const char* path, std::string_view name, std::uint64_t limit, std::vector<std::uint8_t>& out,
               std::uint64_t most) {
  const auto file = open_file(folder, path, name);
  if (file.size == 0) throw Error("cannot read ", name, ": the file is empty");
  if (file.size > limit)
    throw Error("cannot read ", name, ": ", file.size, " bytes, more than the ", limit, " allowed");
  out.resize(std::min(file.size, most));
  read_at(file.fd, 0, out.data(), out.size(), name);
}

std::vector<std::string> read_lines(const std::string& path, std::uint64_t limit) {
  std::vector<std::uint8_t> bytes;
  as_usage_error("", "; mend the file or remove it",
                 [&] { retry([&] { read_file(AT_FDCWD, path.c_str(), path, limit, bytes); }); });
  constexpr std::string_view kMark = "\xef\xbb\xbf";  // of UTF-8's byte order, as Windows' editors write it
  std::string whole(bytes.begin(), bytes.end());
  if (whole.starts_with(kMark)) whole.erase(0, kMark.size());
  std::istringstream text(whole);
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(line);
  }
  return lines;
}

void Examples::add(std::string_view name) {
  if (count++ == 0 || name < first) first = name;
}

void Examples::add(const Examples& more) {
  if (more.count > 0 && (count == 0 || more.first < first)) first = more.first;
  count += more.count;
}

std::string Examples::text(const char* one, const char* several) const {
  return concat(count, " ", count == 1 ? one : several, " (", first, count == 1 ? ")" : " ...)");
}

std::optional<std::uint64_t> size_of(int folder, const char* path) {
  return retry([&]() -> std::optional<std::uint64_t> {
    struct stat status {};
    if (fstatat(folder, path, &status, 0) == 0) return static_cast<std::uint64_t>(status.st_size);
    const int error = errno;
    if (error == ENOENT || error == ENOTDIR || error == ELOOP || is_forbidden(error)) return std::nullopt;
    throw_system_error(concat("cannot read ", path), error);
  });
}

bool exists(const std::string& path) {
  return retry([&] {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0) return true;
    const int error = errno;
    if (error == ENOENT || error == ENOTDIR) return false;
    throw_system_error(concat("cannot look for ", path), error);
  });
}

bool is_forbidden(int error) { return error == EACCES || error == EPERM; }

void throw_unreadable_folder(const std::string& path, int error) {
  switch (error) {
    case ENOENT:
      throw UsageError("there is no folder ", path, "; check the path");
    case ENOTDIR:
      throw UsageError(path, " is not a folder; give the folder that holds the images");
    case EACCES:
    case EPERM:
      throw ForbiddenFolder("cannot read the folder ", path, ": ", reason_of(error), "; check its permissions");
    default:
      if (fault_kind(error) != FaultKind::kFile) throw_system_error(concat("cannot read the folder ", path), error);
      throw UsageError("cannot read the folder ", path, ": ", reason_of(error));
  }
}

namespace {
FolderContents list_folder_once(const std::string& path) {
  auto fd = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY);
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(fd.get() < 0 ? nullptr : fdopendir(fd.get()), closedir);
  if (!folder) throw_unreadable_folder(path, errno);
  fd.release();
  FolderContents contents;
  while (errno = 0, true) {
    const auto* entry = readdir(folder.get());
    if (!entry) break;
    const std::string_view name = entry->d_name;
    if (name.starts_with('.')) continue;
    auto type = entry->d_type;
    if (type != DT_DIR && augment::is_image_name(name)) {
      contents.images = true;
      continue;
    }
    if (type == DT_LNK || type == DT_UNKNOWN) {
      struct stat status {};
      if (fstatat(dirfd(folder.get()), entry->d_name, &status, 0) != 0) {
        const int error = errno;
        if (fault_kind(error) != FaultKind::kFile) throw_unreadable_folder(path + "/" + entry->d_name, error);
        contents.nowhere.emplace_back(name);
        contents.files.emplace_back(name);
        continue;
      }
      type = S_ISDIR(status.st_mode) ? DT_DIR : DT_REG;
    }
    if (type == DT_DIR && augment::is_system_folder(name)) continue;
    (type == DT_DIR ? contents.folders : contents.files).emplace_back(name);
  }
  if (errno != 0) throw_unreadable_folder(path, errno);
  std::ranges::sort(contents.folders);
  std::ranges::sort(contents.files);
  std::ranges::sort(contents.nowhere);
  return contents;
}
}  // namespace

FolderContents list_folder(const std::string& path) {
  return retry([&] { return list_folder_once(path); });
}

}  // namespace unlabel::data
