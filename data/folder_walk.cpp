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
  const auto skipped = [&](std::string_view name) {
    return prefix.empty() && std::ranges::find(options_.left_out, name) != options_.left_out.end();
  };

  ListedFolder found;
  found.inode = status.st_ino;
  found.changed = std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  if (const auto* before = cached(fd.get(), prefix, found.inode, found.changed)) {
    for (const auto& [name, size] : before->files) take(prefix, name, size);
    for (const auto& name : before->folders)
      if (!skipped(name)) folders.push_back(prefix + name + "/");
    options_.cache->add(prefix, *before);
    above_.push_back(identity);
    return true;
  }

  bool plain = true;  // no links, whose ends may change unseen
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
    plain = plain && (entry->d_type == DT_REG || entry->d_type == DT_DIR);
    const bool there = entry->d_type == DT_DIR || fstatat(dirfd(folder.get()), entry->d_name, &status, 0) == 0;
    if (entry->d_type == DT_DIR || (there && S_ISDIR(status.st_mode))) {
      if (!skipped(name)) folders.push_back(prefix + entry->d_name + "/");
      if (options_.cache) found.folders.emplace_back(name);
    } else if (wanted && (!there || S_ISREG(status.st_mode))) {
      const auto size = there ? static_cast<std::uint64_t>(status.st_size) : 0;
      take(prefix, name, size);
      if (options_.first_only) return false;
      if (options_.cache) found.files.emplace_back(name, size);
    }
  }
  if (errno != 0) fail(prefix, errno);
  if (options_.cache && plain) options_.cache->add(prefix, std::move(found));
  above_.push_back(identity);
  return true;
}

/// A folder's listing from before. Its first file is looked at, so that images that were all written anew under their names are noticed.
const ListedFolder* FolderWalk::cached(int folder, const std::string& prefix, std::uint64_t inode,
                                       std::int64_t changed) const {
  const auto* before = options_.cache ? options_.cache->find(prefix, inode, changed) : nullptr;
  if (!before || before->files.empty()) return before;
  struct stat status {};
  const auto& [name, size] = before->files.front();
  const bool same = fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) &&
                    static_cast<std::uint64_t>(status.st_size) == size;
  return same ? before : nullptr;
}

void FolderWalk::take(const std::string& prefix, std::string_view name, std::uint64_t size) {
  entries.push_back({paths.size(), size});
  paths.append(prefix).append(name).push_back('\0');
}

}  // namespace unlabel::data
