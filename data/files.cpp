#include <unlabel/augment/error.h>
#include <unlabel/data/files.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <system_error>

namespace unlabel::data {

namespace {
std::string reason(int error) { return std::generic_category().message(error); }
}  // namespace

void Fingerprint::add(std::string_view bytes) {
  for (const char byte : bytes) hash_ = (hash_ ^ static_cast<std::uint8_t>(byte)) * 0x100000001b3;
}

void Fingerprint::add(std::uint64_t number) {
  for (int byte = 0; byte < 8; ++byte) hash_ = (hash_ ^ (number >> (8 * byte) & 0xff)) * 0x100000001b3;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) close(fd_);
}

OpenFile open_file(int folder, const char* path, std::string_view name) {
  // O_NONBLOCK: opening a pipe that took a file's place must not wait for a writer. It has no effect on regular files.
  OpenFile file{FileDescriptor(openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK))};
  struct stat status {};
  if (file.fd.get() < 0 || fstat(file.fd.get(), &status) != 0) {
    const int error = errno;
    if (error == EMFILE || error == ENFILE || error == ENOMEM)
      throw UsageError("cannot open ", name, ": ", reason(error), "; raise the limit (ulimit -n) or use fewer threads");
    throw Error("cannot open ", name, ": ", reason(error));
  }
  if (!S_ISREG(status.st_mode)) throw Error("cannot read ", name, ": not a regular file");
  file.size = static_cast<std::uint64_t>(status.st_size);
  return file;
}

void read_file(int folder, const char* path, std::string_view name, std::uint64_t limit, std::vector<std::uint8_t>& out,
               std::uint64_t most) {
  const auto file = open_file(folder, path, name);
  if (file.size == 0) throw Error("cannot read ", name, ": the file is empty");
  if (file.size > limit)
    throw Error("cannot read ", name, ": ", file.size, " bytes, more than the ", limit, " allowed");
  out.resize(std::min(file.size, most));
  for (std::size_t done = 0; done < out.size();) {
    const auto count = read(file.fd.get(), out.data() + done, out.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error("cannot read ", name, ": ", reason(errno));
    if (count == 0) throw Error("cannot read ", name, ": it ends after ", done, " of ", out.size(), " bytes");
    done += static_cast<std::size_t>(count);
  }
}

bool is_image_name(std::string_view name) {
  static constexpr std::array<std::string_view, 11> kExtensions{"jpg",  "jpeg", "png", "webp", "bmp", "tif",
                                                                "tiff", "ppm",  "pgm", "pbm",  "pnm"};
  const auto dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  const auto extension = name.substr(dot + 1);
  return std::ranges::any_of(kExtensions, [&](std::string_view known) {
    return std::ranges::equal(known, extension,
                              [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + ('a' - 'A') : b); });
  });
}

void throw_unreadable_folder(const std::string& path, int error) {
  switch (error) {
    case ENOENT:
      throw UsageError("there is no folder ", path, "; check the path");
    case ENOTDIR:
      throw UsageError(path, " is not a folder; give the folder that holds the images");
    case EACCES:
      throw UsageError("cannot read the folder ", path, ": ", reason(error), "; check its permissions");
    case EMFILE:
    case ENFILE:
      throw UsageError("cannot read the folder ", path, ": ", reason(error), "; raise the limit (ulimit -n)");
    default:
      throw UsageError("cannot read the folder ", path, ": ", reason(error));
  }
}

FolderContents list_folder(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()), closedir);
  if (!folder) throw_unreadable_folder(path, errno);
  FolderContents contents;
  while (errno = 0, true) {
    const auto* entry = readdir(folder.get());
    if (!entry) break;
    const std::string_view name = entry->d_name;
    if (name.starts_with('.')) continue;
    auto type = entry->d_type;
    if (type != DT_DIR && is_image_name(name)) continue;
    if (type == DT_LNK || type == DT_UNKNOWN) {
      struct stat status {};
      if (fstatat(dirfd(folder.get()), entry->d_name, &status, 0) != 0) continue;
      type = S_ISDIR(status.st_mode) ? DT_DIR : DT_REG;
    }
    (type == DT_DIR ? contents.folders : contents.files).emplace_back(name);
  }
  if (errno != 0) throw_unreadable_folder(path, errno);
  std::ranges::sort(contents.folders);
  std::ranges::sort(contents.files);
  return contents;
}

}  // namespace unlabel::data
