#include <unlabel/augment/error.h>
#include <unlabel/data/cifar10.h>
#include <unlabel/data/dataset.h>
#include <unlabel/data/files.h>
#include <unlabel/data/idx.h>
#include <unlabel/data/image_folder.h>
#include <unlabel/data/place.h>
#include <unlabel/data/shards.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace unlabel::data {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kHeaderBytes = std::uint64_t{1} << 18;
constexpr char kEndOfName = 0;

std::shared_ptr<const Dataset> open_train_folder(const std::string& directory, Listing listing) {
  const auto folders = list_folder(directory).folders;
  const auto holds_images = [&](const std::string& name) {
    try {
      return contains_image(directory + "/" + name);
    } catch (const UsageError&) {  // lost+found and the like
      return false;
    }
  };
  std::vector<std::string> tests;
  for (const auto name : kTestNames)
    if (std::ranges::find(folders, name) != folders.end()) tests.emplace_back(name);
  if (std::ranges::find(folders, "train") != folders.end()) {
    const bool is_class = tests.empty() && std::ranges::any_of(folders, [&](const auto& name) {
                            return name != "train" && holds_images(name);
                          });
    return open_image_folder(is_class ? directory : directory + "/train", {}, listing);
  }
  if (!tests.empty() && !contains_image(directory, tests)) {
    throw UsageError(directory, " has ", tests.front(), "/ but no train/, and no images beside it; ",
                     "name the training images with --train or, to pretrain, with --data");
  }
  return open_image_folder(directory, tests, listing);
}

std::string test_folder(const std::string& directory) {
  const auto folders = list_folder(directory).folders;
  for (const auto name : kTestNames) {
    if (std::ranges::find(folders, name) != folders.end()) return concat(directory, "/", name);
  }
  throw UsageError(directory,
                   " has no test images: looked for test/, val/ and validation/, CIFAR-10's test_batch.bin and IDX's ",
                   "t10k-images-idx3-ubyte; add one, or name the folder of the test images (--test, for measuring)");
}

bool holds_test_folder(const std::vector<std::string>& folders) {
  return std::ranges::any_of(kTestNames,
                             [&](std::string_view name) { return std::ranges::find(folders, name) != folders.end(); });
}

bool has_any(bool (*has)(const std::string&, Split), const std::string& directory) {
  return has(directory, Split::kTrain) || has(directory, Split::kTest);
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

std::uint64_t Dataset::fingerprint() const {
  Fingerprint hash;
  each_file([&](std::string_view file, std::uint64_t size) {
    hash.add(file);
    hash.add(std::string_view(&kEndOfName, 1));
    hash.add(size);
  });
  return hash.value();
}

void Dataset::read_start(std::int64_t index, std::uint64_t, augment::Source& out) const { read(index, out); }

Place resolve_place(const std::string& spec) {
  const auto colon = spec.find(':');
  Place place{colon == std::string::npos ? std::string() : spec.substr(0, colon), spec};
  auto& [kind, directory] = place;
  if (kind == "folder" || kind == "cifar10" || kind == "idx" || kind == "shards") {
    directory = spec.substr(colon + 1);
  } else {
    const bool looks_like_kind = !kind.empty() && std::ranges::all_of(kind, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    });
    kind.clear();
    try {
      if (!directory.empty())
        kind = has_any(has_cifar10, directory) ? "cifar10" : has_any(has_idx, directory) ? "idx" : "folder";
    } catch (const UsageError& error) {
      if (looks_like_kind)
        throw UsageError(error.what(), " (of prefixes there are folder:, cifar10:, idx: and shards:)");
      throw;
    }
  }
  if (directory.empty())
    throw UsageError("no data set named: '", spec,
                     "'; give a folder, or folder:DIR, cifar10:DIR, idx:DIR or shards:DIR");
  while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
  // Shells leave a ~ alone that does not begin the word.
  if (const char* home = std::getenv("HOME"); home && *home == '/' && (directory == "~" || directory.starts_with("~/")))
    directory.replace(0, 1, home);
  return place;
}

std::shared_ptr<const Dataset> open_dataset(const std::string& spec, Split split, Listing listing) {
  const auto [kind, directory] = resolve_place(spec);
  if (kind == "cifar10") return open_cifar10(directory, split);
  if (kind == "idx") return open_idx(directory, split);
  if (kind == "shards") return open_shards(directory, split);
  return split == Split::kTrain ? open_train_folder(directory, listing)
                                : open_image_folder(test_folder(directory), {}, listing);
}

bool has_test_images(const std::string& spec) {
  const auto [kind, directory] = resolve_place(spec);
  if (kind == "cifar10") return has_cifar10(directory, Split::kTest);
  if (kind == "idx") return has_idx(directory, Split::kTest);
  if (kind == "shards") return has_shards(directory, Split::kTest);
  return holds_test_folder(list_folder(directory).folders);
}

std::shared_ptr<const Dataset> open_test_images(const std::string& spec) {
  const auto [kind, directory] = resolve_place(spec);
  if (kind != "folder") return open_dataset(spec, Split::kTest);
  const auto folders = list_folder(directory).folders;
  if (holds_test_folder(folders)) return open_image_folder(test_folder(directory));
  if (std::ranges::find(folders, "train") != folders.end())
    throw UsageError(spec, " has train/ but no test/ or val/ inside; name the folder of the test images");
  return open_image_folder(directory);
}

ImageSizes survey_sizes(const Dataset& dataset, int samples) {
  if (samples < 1) throw UsageError("a survey of ", samples, " images; take at least one");
  const auto count = std::min<std::int64_t>(samples, dataset.size());
  augment::Source source;
  std::vector<int> short_sides;
  std::string reason;
  for (std::int64_t i = 0; i < count; ++i) {
    // i * size / count without overflow
    const auto index = dataset.size() / count * i + dataset.size() % count * i / count;
    try {
      const auto size = size_of(dataset, index, source);
      short_sides.push_back(std::min(size.width, size.height));
    } catch (const UsageError&) {
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
