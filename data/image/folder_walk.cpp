#include <unlabel/augment/codec/image_files.h>
#include <unlabel/augment/codec/image_header.h>
#include <unlabel/augment/system_error.h>
#include <unlabel/data/image/folder_walk.h>
#include <unlabel/data/io/retry.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <tuple>

namespace unlabel::data {

namespace {

/// Paths through links that a walk follows, at most, for each folder that it found: folders that hold links to each other have far more.
/// Python's Folder has the same limit (_MOST_WAYS in augment/python/unlabel_augment/_folder.py).
constexpr std::size_t kMostWays = 16;

/// A folder's own name, of a path that ends with a slash.
std::string_view last_part(std::string_view prefix) {
  prefix.remove_suffix(1);
  return prefix.substr(prefix.rfind('/') + 1);  // npos + 1 is 0
}

}  // namespace

FolderWalk::FolderWalk(const std::string& folder, Options options) : root(folder), options_(std::move(options)) {
  root_fd = open_folder(root);
  visit({"", Belongs::kYes, false});
  if (options_.first_only && entries.empty() && forbidden_) fail(forbidden_->first, forbidden_->second);
}

void FolderWalk::fail(const std::string& prefix, int error) const {
  throw_unreadable_folder(prefix.empty() ? root : root + "/" + prefix.substr(0, prefix.size() - 1), error);
}

void FolderWalk::visit(const Below& folder) {
  std::vector<Below> folders;
  // An incomplete listing is dropped before it is tried again.
  const auto entries_before = entries.size(), paths_before = paths.size();
  const std::tuple seen_before(foreign_, others_, unnamed_, system_, nested_left_out_, nested_taken_, nowhere_,
                               packed_);
  const bool more = retry([&] {
    folders.clear();
    entries.resize(entries_before);
    paths.resize(paths_before);
    std::tie(foreign_, others_, unnamed_, system_, nested_left_out_, nested_taken_, nowhere_, packed_) = seen_before;
    return list(folder, folders);
  });
  if (!more) return;
  if (folder.belongs == Belongs::kYes) {
    (folder.linked ? ways_by_links_ : own_folders_) += 1;
    if (folder.linked) linked_.insert(above_.back());
    if (const auto there = own_folders_ + linked_.size(); ways_by_links_ > kMostWays * there)
      throw UsageError("links lead to the ", there, " folders of ", root, " in more than ", kMostWays * there,
                       " ways, one of them ", folder.prefix,
                       ": their images would count once for each; remove the links between folders");
  }
  for (const auto& below : folders) {
    visit(below);
    if (options_.first_only && !entries.empty()) return;
  }
  above_.pop_back();
}

/// Takes the folder's files and names the folders in it; the folder is closed again, since a tree may be deeper than a process may have
/// files open. True when the folders in it are to be visited: it is then the last of above_.
bool FolderWalk::list(const Below& here, std::vector<Below>& folders) {
  const auto& prefix = here.prefix;
  auto fd = open_at(root_fd.get(), prefix.empty() ? "." : prefix.c_str(), O_RDONLY | O_DIRECTORY);
  if (fd.get() < 0) {
    const int error = errno;
    if ((!options_.all && !options_.first_only) || prefix.empty() || !is_forbidden(error)) fail(prefix, error);
    if (options_.all) take(prefix, "", Belongs::kForbidden);
    if (!forbidden_) forbidden_.emplace(prefix, error);
    return false;
  }
  // A folder that is its own ancestor, through a link, is not entered again.
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) fail(prefix, errno);
  const std::pair identity{status.st_dev, status.st_ino};
  if (std::ranges::find(above_, identity) != above_.end()) return false;

  const std::unique_ptr<DIR, int (*)(DIR*)> folder(fdopendir(fd.get()), closedir);
  if (!folder) fail(prefix, errno);
  fd.release();
  const std::size_t first_entry = entries.size(), first_path = paths.size();
  while (errno = 0, true) {
    const auto* entry = readdir(folder.get());
    if (!entry) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    auto belongs = here.belongs;
    if (belongs == Belongs::kYes && name.starts_with('.')) belongs = Belongs::kHidden;
    if (belongs == Belongs::kHidden && !options_.all) continue;
    // A link needs a stat, and so does every entry of a file system that gives no types.
    const bool type_known = entry->d_type == DT_DIR || entry->d_type == DT_REG;
    const bool there = type_known || fstatat(dirfd(folder.get()), entry->d_name, &status, 0) == 0;
    // A link whose target cannot be seen because of an error is not a broken link.
    if (const int error = errno; !there && fault_kind(error) != FaultKind::kFile)
      fail(concat(prefix, name, "/"), error);
    const bool is_folder = type_known ? entry->d_type == DT_DIR : there && S_ISDIR(status.st_mode);
    const bool is_file = type_known ? entry->d_type == DT_REG : there && S_ISREG(status.st_mode);
    if (is_folder) {  // visited after this folder, unless it is left out
      const auto path = concat(prefix, name, "/");
      if (belongs == Belongs::kYes && augment::is_system_folder(name)) {
        belongs = Belongs::kSystem;
        system_.add(path);
      }
      if (belongs == Belongs::kYes && prefix.empty() &&
          std::ranges::find(options_.left_out, name) != options_.left_out.end())
        belongs = Belongs::kLeftOut;
      const bool linked = here.linked || entry->d_type != DT_DIR;
      if (belongs == Belongs::kYes || options_.all) folders.push_back({path, belongs, linked});
      continue;
    }
    // A file: by its name an image of the data set, or why not.
    const bool named = augment::is_image_name(name);
    if (!is_file && there) continue;
    if (belongs == Belongs::kYes && !there && !named) {
      belongs = Belongs::kNowhere;
      nowhere_.add(concat(prefix, name));
    }
    if (belongs == Belongs::kYes && !named)
      belongs = augment::is_foreign_image_name(name) ? Belongs::kForeignImage : Belongs::kOtherName;
    if (take(prefix, name, belongs) && options_.first_only) return false;
  }
  if (errno != 0) fail(prefix, errno);
  if (here.belongs == Belongs::kYes && !prefix.empty()) apply_nested_split(prefix, folders, first_entry, first_path);
  above_.push_back(identity);
  return true;
}

/// For a folder that is not the root: when of the folders in it one is named for training and one for testing, leaves out all but the
/// former, files listed since `first_entry` too.
void FolderWalk::apply_nested_split(const std::string& prefix, std::vector<Below>& folders, std::size_t first_entry,
                                    std::size_t first_path) {
  std::vector<std::string> names;
  for (const auto& below : folders)
    if (below.belongs == Belongs::kYes) names.emplace_back(last_part(below.prefix));
  const auto split = augment::nested_split(names);
  for (const auto& name : split.tests) nested_taken_.add(concat(prefix, name, "/"));
  if (!split.left_out) return;
  nested_left_out_.add(prefix);
  for (auto& below : folders)
    if (below.belongs == Belongs::kYes && std::ranges::find(split.taken, last_part(below.prefix)) == split.taken.end())
      below.belongs = Belongs::kLeftOut;
  if (options_.all) {
    for (auto i = first_entry; i < entries.size(); ++i)
      if (entries[i].belongs == Belongs::kYes) entries[i].belongs = Belongs::kLeftOut;
  } else {
    std::erase_if(folders, [](const Below& below) { return below.belongs != Belongs::kYes; });
    entries.resize(first_entry);
    paths.resize(first_path);
  }
}

/// Adds an entry for a file. False when it is not an image of the data set.
bool FolderWalk::take(const std::string& prefix, std::string_view name, Belongs belongs) {
  if (belongs == Belongs::kForeignImage) foreign_.add(concat(prefix, name));
  if (belongs == Belongs::kOtherName) {
    others_.add(concat(prefix, name));
    if (augment::packed_as(name) != augment::Packed::kNo) packed_.add(concat(prefix, name));
    if (unnamed_.size() < kMostUnnamed) unnamed_.push_back(concat(prefix, name));
  }
  if (belongs != Belongs::kYes && !options_.all) return false;
  entries.push_back({paths.size(), belongs});
  paths.append(prefix).append(name).push_back('\0');
  return belongs == Belongs::kYes;
}

void FolderWalk::sort() {
  std::ranges::sort(entries, {}, [&](const Entry& entry) { return std::string_view(path(entry)); });
}

std::vector<std::string> FolderWalk::notes() const {
  constexpr const char* kLook = "; unlabel check lists them";
  std::vector<std::string> notes;
  foreign_.note(notes, "passed over ", foreign_.verb(), " ",
                foreign_.text("file that looks like an image", "files that look like images"),
                ", of a format that is not read", kLook);
  const auto image = std::ranges::find_if(
      unnamed_, [&](const std::string& name) { return !content_format(root_fd.get(), name.c_str()).name.empty(); });
  if (image != unnamed_.end())
    notes.push_back(concat(others_.text("file", "files"), " without the name of an image ", others_.verb(),
                           " passed over, and ", *image, " is one by its content", kLook));
  nested_left_out_.note(notes, nested_left_out_.text("folder", "folders"),
                        " with one for training and one for testing inside: only the former is taken", kLook);
  nested_taken_.note(notes, nested_taken_.text("folder", "folders"), " named as test images ", nested_taken_.verb(),
                     " taken all the same, as none for training is beside");
  nowhere_.note(notes, nowhere_.text("link to nowhere", "links to nowhere"), ": is a disk not mounted?", kLook);
  packed_.note(notes, packed_.text("archive", "archives"), " among the images ", packed_.verb(), " not read: unpack ",
               packed_.count == 1 ? "it" : "them");
  system_.note(notes, system_.text("folder", "folders"), " of thumbnails, deleted files and the like ", system_.verb(),
               " passed over");
  return notes;
}

ContentFormat content_format(int folder, const char* path) {
  constexpr std::uint64_t kStart = 256;  // a DICOM's mark comes after 128 bytes
  std::vector<std::uint8_t> bytes;
  constexpr auto kAnySize = std::numeric_limits<std::uint64_t>::max();
  if (broken_reason([&] { retry([&] { read_file(folder, path, path, kAnySize, bytes, kStart); }); })) return {};
  const auto format = augment::image_format(bytes);
  if (format == augment::ImageFormat::kBmp || format == augment::ImageFormat::kPnm)  // "BM" and "P6" may begin a text
    return {};
  if (format != augment::ImageFormat::kUnknown) return {augment::format_name(format).name, true};
  const auto other = augment::other_format(bytes);
  return other.is_image ? ContentFormat{other.name, false} : ContentFormat();
}

}  // namespace unlabel::data
