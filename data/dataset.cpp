#include <unlabel/augment/system_error.h>
#include <unlabel/data/dataset.h>
#include <unlabel/data/io/files.h>
#include <unlabel/data/io/retry.h>

namespace unlabel::data {

namespace {

constexpr std::uint64_t kHeaderBytes = std::uint64_t{1} << 18;
constexpr char kEndOfName = 0;

/// The size of an image, from its header.
cv::Size size_of(const Dataset& dataset, std::int64_t index, augment::ImageSource& source) {
  dataset.read_start(index, kHeaderBytes, source);
  if (source.bytes.empty()) return source.pixels.size();
  try {
    return augment::image_size(source.bytes);
  } catch (const Error&) {
    if (source.bytes.size() < kHeaderBytes) throw;
  }
  // A TIFF's directory may be at its end, and a JPEG's frame header after large profiles.
  dataset.read(index, source);
  return augment::image_size(source.bytes);
}

}  // namespace

std::uint64_t Dataset::fingerprint_of_names() const {
  Fingerprint hash;
  for_each_file([&](std::string_view file, std::uint64_t size) {
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

std::size_t Dataset::position(std::int64_t index) const {
  if (index < 0 || index >= size())
    throw UsageError("sample ", index, " is not in ", description(), "; count them from 0");
  return static_cast<std::size_t>(index);
}

void Dataset::read_start(std::int64_t index, std::uint64_t, augment::ImageSource& out) const { read(index, out); }

ImageSizes sample_image_sizes(const Dataset& dataset, int samples) {
  if (samples < 1) throw UsageError("a survey of ", samples, " images; take at least one");
  const auto count = std::min<std::int64_t>(samples, dataset.size());
  augment::ImageSource source;
  std::vector<int> short_sides;
  std::string reason;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto index = evenly_spaced(i, count, dataset.size());
    const auto broken = broken_reason([&] {
      const auto size = retry([&] { return size_of(dataset, index, source); });
      short_sides.push_back(std::min(size.width, size.height));
    });
    if (broken && reason.empty()) reason = concat(dataset.name(index), ": ", *broken);
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
