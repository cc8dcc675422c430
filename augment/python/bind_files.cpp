#include <unlabel/augment/codec/image_files.h>
#include <unlabel/augment/error.h>
#include <unlabel/augment/processors.h>
#include <unlabel/augment/python/bind.h>
#include <unlabel/augment/python/convert.h>

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

/// Adds a predicate on a file's or a folder's name.
void def_name_test(nb::module_& m, const char* name, bool (*test)(std::string_view), const char* help) {
  m.def(
      name,
      [test](const nb::bytes& text) {
        return test({text.c_str(), text.size()});
      },
      "name"_a, help);
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
  def_name_test(m, "is_image_name", is_image_name, "Whether the name of a file ends with one of them, in any case.");
  def_name_test(m, "is_foreign_image_name", is_foreign_image_name,
                "Whether the name ends like that of an image in a format that is not decoded.");
  def_name_test(
      m, "is_archive_name", [](std::string_view name) { return packed_as(name) != Packed::kNo; },
      "Whether the name ends like that of an archive: .tar, .zip ...");
  def_name_test(
      m, "is_system_folder", is_system_folder,
      "Whether operating systems and servers make a folder of that name, for thumbnails, deleted files and the like.");
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
