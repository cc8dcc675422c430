#include <unlabel/augment/list_name.h>
#include <unlabel/data/formats.h>
#include <unlabel/data/image/cifar10.h>
#include <unlabel/data/image/folder_splits.h>
#include <unlabel/data/image/idx.h>
#include <unlabel/data/image/image_folder.h>
#include <unlabel/data/image/shards.h>

#include <algorithm>

namespace unlabel::data {

namespace {

std::vector<Format>& list() {
  static std::vector<Format> all{
      {"cifar10", "files of CIFAR-10", names_cifar10, open_cifar10, has_cifar10},
      {"idx", "files of IDX", [](const std::string&, const FolderContents& contents) { return names_idx(contents); },
       open_idx, has_idx},
      {"shards", "tar archives", nullptr, open_shards, has_shards, open_test_shards, open_indexed_shards},
      {"folder", "images", [](const std::string&, const FolderContents&) { return true; }, open_folder_split,
       has_folder_split, open_test_folder, open_indexed_folder}};
  return all;
}

const Format* find(const std::string& name) {
  const auto found = std::ranges::find(formats(), name, &Format::name);
  return found == formats().end() ? nullptr : &*found;
}

std::vector<std::string> prefixes(const char* after) {
  std::vector<std::string> all;
  for (const auto& format : formats()) all.push_back(format.name + after);
  return all;
}

/// A folder of images in a folder with another data set's files; empty: none.
std::string images_below(const std::string& directory, const FolderContents& contents) {
  for (const auto& name : contents.folders) {
    try {
      if (contains_image(directory + "/" + name)) return name;
    } catch (const ForbiddenFolder&) {  // counts as one without
    }
  }
  return {};
}

}  // namespace

const std::vector<Format>& formats() { return list(); }

void add_format(Format format) {
  require_list_name("a data format", format.name, /*underscores=*/false);
  if (find(format.name)) throw UsageError("there is a data format '", format.name, "' already");
  if (!format.open || !format.has)
    throw UsageError("the data format '", format.name,
                     "' lacks the function that opens it or the one that says which splits there are");
  list().insert(list().end() - 1, std::move(format));
}

std::string format_prefixes() { return joined(prefixes(":DIR"), ", "); }

DatasetLocation parse_location(const std::string& spec) {
  const auto colon = spec.find(':');
  DatasetLocation place{colon == std::string::npos ? nullptr : find(spec.substr(0, colon)), spec};
  auto& directory = place.directory;
  if (place.format) directory = spec.substr(colon + 1);
  if (directory.empty()) throw UsageError("no data set named: '", spec, "'; give a folder, or ", format_prefixes());
  while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
  // Shells leave a ~ alone that does not begin the word.
  if (const char* home = std::getenv("HOME"); home && *home == '/' && (directory == "~" || directory.starts_with("~/")))
    directory.replace(0, 1, home);
  return place;
}

DatasetLocation resolve_location(const std::string& spec) {
  auto place = parse_location(spec);
  if (place.format) return place;
  const auto& directory = place.directory;
  try {
    const auto contents = list_folder(directory);
    const auto format = std::ranges::find_if(
        formats(), [&](const Format& one) { return one.matches && one.matches(directory, contents); });
    place.format = &*format;
    if (place.format == &formats().back()) return place;
    const auto below = images_below(directory, contents);
    if (contents.images || !below.empty())
      throw UsageError(directory, " holds ", format->content, " and ",
                       below.empty() ? "images beside them" : concat("folders of images (", below, "/ ...)"),
                       "; say which are meant: ", format->name, ":", directory, " or folder:", directory);
  } catch (const UsageError& error) {
    const auto prefix = spec.substr(0, spec.find(':'));
    if (prefix.size() < spec.size() && !prefix.empty() &&
        std::ranges::all_of(prefix, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }))
      throw UsageError(error.what(), " (of prefixes there are ", joined(prefixes(":"), ", "), ")");
    throw;
  }
  return place;
}

std::shared_ptr<const Dataset> open_dataset(const std::string& spec, Split split) {
  const auto [format, directory] = resolve_location(spec);
  return format->open(directory, split);
}

std::shared_ptr<const Dataset> open_indexed(const std::string& spec, const std::string& index) {
  const auto [named, directory] = parse_location(spec);
  const auto* format = named ? named : &formats().back();
  const auto other = [&, directory = directory] {
    return MismatchError(directory, " is opened as ", format->content,
                         " here, and rank 0 has opened something else; give --data the same prefix on all ranks");
  };
  if (!format->open_indexed) throw other();
  try {
    return format->open_indexed(directory, index);
  } catch (const nlohmann::json::exception&) {  // what one kind of data set lists, another does not
    throw other();
  }
}

bool has_test_images(const std::string& spec) {
  const auto [format, directory] = resolve_location(spec);
  return format->has(directory, Split::kTest);
}

std::shared_ptr<const Dataset> open_test_images(const std::string& spec) {
  const auto [format, directory] = resolve_location(spec);
  return format->open_test ? format->open_test(directory) : format->open(directory, Split::kTest);
}

}  // namespace unlabel::data
