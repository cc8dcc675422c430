#include <unlabel/augment/codec/image_files.h>
#include <unlabel/augment/error.h>
#include <unlabel/augment/processors.h>
#include <unlabel/augment/python/bind.h>
#include <unlabel/augment/python/convert.h>

#include <nanobind/nanobind.h>

#include <string>
#include <vector>

namespace unlabel::augment::python {

using namespace nb::literals;

namespace {

/// Names of files and folders are bytes, as the file system has them.
std::string name_from(nb::handle bytes) {
  const auto owner = nb::cast<nb::bytes>(bytes);
  return {owner.c_str(), owner.size()};
}

std::vector<std::string> names_from(nb::handle list) {
  std::vector<std::string> names;
  for (const nb::handle item : list) names.push_back(name_from(item));
  return names;
}

nb::bytes bytes_of(const std::string& name) { return nb::bytes(name.data(), name.size()); }

nb::list list_of(const std::vector<std::string>& names) {
  nb::list items;
  for (const auto& name : names) items.append(bytes_of(name));
  return items;
}

}  // namespace

void bind_files(nb::module_& m) {
  // What belongs to a data set by its name, for Folder. Names are bytes: they need not be UTF-8.
  m.def(
      "image_extensions",
      [] {
        std::vector<std::string> extensions;
        for (const auto extension : image_extensions()) extensions.push_back(concat(".", extension));
        return extensions;
      },
      "The extensions of images that are decoded, in lower case, with the dot.");
  m.def(
      "is_image_name",
      [](const nb::bytes& name) {
        return is_image_name({name.c_str(), name.size()});
      },
      "name"_a, "Whether the name of a file ends with one of them, in any case.");
  m.def(
      "is_foreign_image_name",
      [](const nb::bytes& name) {
        return is_foreign_image_name({name.c_str(), name.size()});
      },
      "name"_a, "Whether it ends like that of an image in a format that is not decoded.");
  m.def(
      "is_archive_name",
      [](const nb::bytes& name) {
        return packed_as({name.c_str(), name.size()}) != Packed::kNo;
      },
      "name"_a, "Whether it ends like that of an archive: .tar, .zip ...");
  m.def(
      "is_system_folder",
      [](const nb::bytes& name) {
        return is_system_folder({name.c_str(), name.size()});
      },
      "name"_a, "Whether systems make a folder of that name, for thumbnails, deleted files and the like.");
  m.def(
      "folder_layout",
      [](const nb::bytes& directory, const nb::list& folders, bool images_beside, const nb::callable& holds_images,
         const nb::callable& folders_in) {
        const auto layout =
            folder_layout(name_from(directory), names_from(folders), images_beside,
                          {[&](const std::string& name) { return nb::cast<bool>(holds_images(bytes_of(name))); },
                           [&](const std::string& name) { return names_from(folders_in(bytes_of(name))); }});
        return nb::make_tuple(bytes_of(layout.train), list_of(layout.left_out), list_of(layout.tests),
                              list_of(layout.notes), bytes_of(layout.refusal));
      },
      "directory"_a, "folders"_a, "images_beside"_a, "holds_images"_a, "folders_in"_a,
      "Where the splits of a folder are: (train, left_out, tests, notes, refusal), as the program has it.");
  m.def(
      "nested_split",
      [](const nb::list& folders) {
        const auto split = nested_split(names_from(folders));
        return nb::make_tuple(list_of(split.taken), split.left_out, list_of(split.tests));
      },
      "folders"_a, "What is taken of a folder further down: (taken, left_out, tests), as the program has it.");
  m.def(
      "usable_threads", [] { return usable_processors().threads; },
      "Hardware threads that may be used: the affinity mask, at most what the quotas of control groups grant.");
}

}  // namespace unlabel::augment::python
