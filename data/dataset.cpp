#include <unlabel/augment/codec/image_files.h>
#include <unlabel/augment/error.h>
#include <unlabel/data/dataset.h>
#include <unlabel/data/image/cifar10.h>
#include <unlabel/data/image/idx.h>
#include <unlabel/data/image/image_folder.h>
#include <unlabel/data/image/place.h>
#include <unlabel/data/image/shards.h>
#include <unlabel/data/io/files.h>
#include <unlabel/data/io/retry.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace unlabel::data {

namespace {

constexpr std::uint64_t kHeaderBytes = std::uint64_t{1} << 18;
constexpr char kEndOfName = 0;

/// Whether every image of the folder is in a folder in it, as those of classes are.
bool has_class_folders(const std::string& directory) {
  return !list_folder(directory).images && contains_image(directory);
}

std::string joined_notes(const std::vector<std::string>& notes) {
  std::string text;
  for (const auto& note : notes) text += "; " + note;
  return text;
}

std::vector<std::string> train_notes(const FolderSplits& splits) {
  auto notes = splits.layout.notes;
  notes.insert(notes.end(), splits.forbidden.begin(), splits.forbidden.end());
  // Where the folder itself is walked, the walk tells them.
  if (!splits.layout.train.empty()) notes.insert(notes.end(), splits.unmounted.begin(), splits.unmounted.end());
  return notes;
}

std::shared_ptr<const Dataset> open_train_folder(const std::string& directory) {
  const auto splits = splits_of(directory);
  const auto& layout = splits.layout;
  if (!layout.refusal.empty()) throw NoImages(layout.refusal);
  return open_image_folder(directory, layout.train, layout.train.empty() ? layout.left_out : std::vector<std::string>(),
                           train_notes(splits));
}

std::shared_ptr<const Dataset> open_test_folder(const std::string& directory, const FolderSplits& splits) {
  const auto& [layout, test, choice, forbidden, unmounted] = splits;
  if (test.empty())
    throw UsageError(directory, " has no test images: looked for test/, val/, validation/ and their like, CIFAR-10's ",
                     "test_batch.bin and IDX's t10k-images-idx3-ubyte; add one, or name the folder of the test images ",
                     "(--test, for measuring)", joined_notes(forbidden), joined_notes(unmounted));
  auto notes = forbidden;
  notes.insert(notes.end(), unmounted.begin(), unmounted.end());
  if (!choice.empty()) notes.push_back(choice);
  return open_image_folder(directory, test, {}, std::move(notes), Split::kTest);
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

/// The size of an image, from its header.
cv::Size size_of(const Dataset& dataset, std::int64_t index, augment::Source& source) {
  dataset.read_start(index, kHeaderBytes, source);
  if (source.bytes.empty()) return source.pixels.size();
  try {
    return augment::image_size(source.bytes);
  } catch (const Error&) {
    if (source.bytes.size() < kHeaderBytes) throw;
  }
  // A TIFF's directory may stand at its end, and a JPEG's frame behind large profiles.
  dataset.read(index, source);
  return augment::image_size(source.bytes);
}

}  // namespace

std::uint64_t Dataset::fingerprint_of_names() const {
  Fingerprint hash;
  each_file([&](std::string_view file, std::uint64_t size) {
    hash.add(file);
    hash.add(std::string_view(&kEndOfName, 1));
    hash.add(size);
  });
  return hash.value();
}

std::uint64_t Dataset::fingerprint() const {
  const auto contents = checksum();
  if (!contents) return fingerprint_of_names();
  Fingerprint hash;
  hash.add(fingerprint_of_names());
  hash.add(*contents);
  return hash.value();
}

void Dataset::read_start(std::int64_t index, std::uint64_t, augment::Source& out) const { read(index, out); }

FolderSplits splits_of(const std::string& directory) {
  const auto contents = list_folder(directory);
  FolderSplits splits;
  const auto or_nothing = [&](const auto& look) {
    return [&, look](const std::string& name) -> decltype(look(name)) {
      try {
        return look(directory + "/" + name);
      } catch (const ForbiddenFolder&) {
        auto note = concat(name, "/ of ", directory,
                           " may not be read, in part or as a whole, and counts as a folder without images");
        if (std::ranges::find(splits.forbidden, note) == splits.forbidden.end())
          splits.forbidden.push_back(std::move(note));
        return {};
      }
    };
  };
  auto& tests = splits.layout.tests;
  splits.layout =
      augment::folder_layout(directory, contents.folders, contents.images,
                             {or_nothing([](const std::string& path) { return contains_image(path); }),
                              or_nothing([](const std::string& path) { return list_folder(path).folders; })});
  for (const auto& name : contents.nowhere)
    if (augment::named_split(name) != augment::NamedSplit::kNone)
      splits.unmounted.push_back(concat(name, " of ", directory, " is a link to nowhere: is its disk not mounted?"));
  if (!splits.layout.refusal.empty())
    splits.layout.refusal += joined_notes(splits.forbidden) + joined_notes(splits.unmounted);
  if (tests.empty()) return splits;
  splits.test = tests.front();
  if (tests.size() == 1) return splits;
  // ImageNet's test/ has no labels, and its val/ has.
  auto chosen = std::ranges::find_if(tests, or_nothing(has_class_folders));
  const bool labelled = chosen != tests.end();
  if (!labelled) chosen = std::ranges::find_if(tests, or_nothing(contains_image));
  if (chosen != tests.end()) splits.test = *chosen;
  std::string others;
  for (const auto& name : tests)
    if (name != splits.test) others += concat(others.empty() ? "" : ", ", name, "/");
  splits.test_choice = concat("of ", directory, " ", splits.test, "/ is taken for the test images and not ", others,
                              splits.test == tests.front() ? ""
                              : labelled                   ? ": the first with class folders"
                                                           : ": the first with images");
  return splits;
}

Place parse_place(const std::string& spec) {
  const auto colon = spec.find(':');
  Place place{colon == std::string::npos ? std::string() : spec.substr(0, colon), spec};
  auto& [kind, directory] = place;
  if (kind == "folder" || kind == "cifar10" || kind == "idx" || kind == "shards")
    directory = spec.substr(colon + 1);
  else
    kind.clear();
  if (directory.empty())
    throw UsageError("no data set named: '", spec,
                     "'; give a folder, or folder:DIR, cifar10:DIR, idx:DIR or shards:DIR");
  while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
  // Shells leave a ~ alone that does not begin the word.
  if (const char* home = std::getenv("HOME"); home && *home == '/' && (directory == "~" || directory.starts_with("~/")))
    directory.replace(0, 1, home);
  return place;
}

Place resolve_place(const std::string& spec) {
  auto place = parse_place(spec);
  if (!place.kind.empty()) return place;
  const auto& directory = place.directory;
  try {
    const auto contents = list_folder(directory);
    place.kind = names_cifar10(directory, contents) ? "cifar10" : names_idx(contents) ? "idx" : "folder";
    if (place.kind == "folder") return place;
    const auto below = images_below(directory, contents);
    if (contents.images || !below.empty())
      throw UsageError(directory, " holds files of ", place.kind == "idx" ? "IDX" : "CIFAR-10", " and ",
                       below.empty() ? "images beside them" : concat("folders of images (", below, "/ ...)"),
                       "; say which are meant: ", place.kind, ":", directory, " or folder:", directory);
  } catch (const UsageError& error) {
    const auto prefix = spec.substr(0, spec.find(':'));
    if (prefix.size() < spec.size() && !prefix.empty() &&
        std::ranges::all_of(prefix, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }))
      throw UsageError(error.what(), " (of prefixes there are folder:, cifar10:, idx: and shards:)");
    throw;
  }
  return place;
}

std::shared_ptr<const Dataset> open_dataset(const std::string& spec, Split split) {
  const auto [kind, directory] = resolve_place(spec);
  if (kind == "cifar10") return open_cifar10(directory, split);
  if (kind == "idx") return open_idx(directory, split);
  if (kind == "shards") return open_shards(directory, split);
  return split == Split::kTrain ? open_train_folder(directory) : open_test_folder(directory, splits_of(directory));
}

std::shared_ptr<const Dataset> open_indexed(const std::string& spec, const std::string& index) {
  const auto [kind, directory] = parse_place(spec);
  try {
    return kind == "shards" ? open_indexed_shards(directory, index) : open_indexed_folder(directory, index);
  } catch (const nlohmann::json::exception&) {  // what one kind of data set lists, another does not
    throw MismatchError(directory, " is opened as ", kind == "shards" ? "shards" : "a folder of images",
                        " here, and rank 0 has opened something else; give --data the same prefix on all ranks");
  }
}

bool has_test_images(const std::string& spec) {
  const auto [kind, directory] = resolve_place(spec);
  if (kind == "cifar10") return has_cifar10(directory, Split::kTest);
  if (kind == "idx") return has_idx(directory, Split::kTest);
  if (kind == "shards") return has_shards(directory, Split::kTest);
  return !splits_of(directory).test.empty();
}

std::shared_ptr<const Dataset> open_test_images(const std::string& spec) {
  const auto [kind, directory] = resolve_place(spec);
  if (kind == "shards") return open_test_shards(directory);
  if (kind != "folder") return open_dataset(spec, Split::kTest);
  const auto splits = splits_of(directory);
  const auto& layout = splits.layout;
  if (!splits.test.empty()) return open_test_folder(directory, splits);
  if (!layout.refusal.empty()) throw UsageError(layout.refusal);
  if (!layout.train.empty())
    throw UsageError(spec, " has ", layout.train, "/ but no test/ or val/ inside; name the folder of the test images");
  return open_image_folder(directory, "", {}, train_notes(splits), Split::kTest);
}

ImageSizes survey_sizes(const Dataset& dataset, int samples) {
  if (samples < 1) throw UsageError("a survey of ", samples, " images; take at least one");
  const auto count = std::min<std::int64_t>(samples, dataset.size());
  augment::Source source;
  std::vector<int> short_sides;
  std::string reason;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto index = evenly_spaced(i, count, dataset.size());
    try {
      const auto size = retry([&] { return size_of(dataset, index, source); });
      short_sides.push_back(std::min(size.width, size.height));
    } catch (const UsageError&) {
      throw;
    } catch (const IoError&) {
      throw;
    } catch (const Error& error) {
      if (reason.empty()) reason = concat(dataset.name(index), ": ", error.what());
    }
  }
  if (short_sides.empty())
    throw Error("none of ", count, " images of ", dataset.description(), " can be read; the first is ", reason);
  std::ranges::sort(short_sides);
  return {.median_short_side = short_sides[(short_sides.size() - 1) / 2],
          .min_short_side = short_sides.front(),
          .max_short_side = short_sides.back(),
          .surveyed = static_cast<int>(short_sides.size()),
          .broken = static_cast<int>(count) - static_cast<int>(short_sides.size())};
}

}  // namespace unlabel::data
