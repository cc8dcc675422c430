#include <unlabel/data/folder_walk.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>

namespace unlabel::data {

FolderWalk::FolderWalk(const std::string& folder, Options options) : root(folder), options_(std::move(options)) {
  root_fd = FileDescriptor(open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (root_fd.get() < 0) throw_unreadable_folder(root, errno);
  visit("");
}

void FolderWalk::fail(const std::string& prefix, int error) const {
  throw_unreadable_folder(prefix.empty() ? root : root + "/" + prefix.substr(0, prefix.size() - 1), error);
}

/// `prefix` is the folder's path below the root, empty or ended by a slash.
void FolderWalk::visit(const std::string& prefix) {
  std::vector<std::string> folders;
  if (!list(prefix, folders)) return;
  for (const auto& below : folders) {
    visit(below);
    if (options_.first_only && !entries.empty()) return;
  }
  above_.pop_back();
}

/// Takes the folder's files and names the folders in it; the folder is closed again, since a tree may be deeper than a process may have
/// files open. True when there is more to do below: it then stands in above_.
bool FolderWalk::list(const std::string& prefix, std::vector<std::string>& folders) {
  FileDescriptor fd(openat(root_fd.get(), prefix.empty() ? "." : prefix.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) fail(prefix, errno);
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) fail(prefix, errno);
  const std::pair identity{status.st_dev, status.st_ino};
  if (std::ranges::find(above_, identity) != above_.end()) return false;

  const std::unique_ptr<DIR, int (*)(DIR*)> folder(fdopendir(fd.get()), closedir);
  if (!folder) fail(prefix, errno);
  fd.release();
  while (errno = 0, true) {
    const auto* entry = readdir(folder.get());
    if (!entry) break;
    const std::string_view name = entry->d_name;
    if (name.starts_with('.') && (!options_.hidden_too || name == "." || name == "..")) continue;
    const bool wanted = !options_.images_only || is_image_name(name);
    if (entry->d_type == DT_REG && !wanted) continue;
    const bool found = entry->d_type == DT_DIR || fstatat(dirfd(folder.get()), entry->d_name, &status, 0) == 0;
    if (entry->d_type == DT_DIR || (found && S_ISDIR(status.st_mode))) {
      if (!prefix.empty() || std::ranges::find(options_.left_out, name) == options_.left_out.end())
        folders.push_back(prefix + entry->d_name + "/");
    } else if (wanted && (!found || S_ISREG(status.st_mode))) {
      entries.push_back({paths.size(), found ? static_cast<std::uint64_t>(status.st_size) : 0});
      paths.append(prefix).append(name).push_back('\0');
      if (options_.first_only) return false;
    }
  }
  if (errno != 0) fail(prefix, errno);
  above_.push_back(identity);
  return true;
}

}  // namespace unlabel::data
