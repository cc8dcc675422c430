#include <unlabel/augment/decode_tiff.h>
#include <unlabel/augment/error.h>

#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

namespace unlabel::augment {

namespace {

/// The file in memory as libtiff reads it, and libtiff's first complaint.
struct TiffInput {
  std::span<const std::uint8_t> bytes;
  std::uint64_t at = 0;
  char message[256] = "";
};

TiffInput& input(thandle_t handle) { return *static_cast<TiffInput*>(handle); }

int keep_message(TIFF*, void* user, const char*, const char* format, va_list arguments) {
  auto* to = static_cast<TiffInput*>(user);
  if (to->message[0] == '\0') std::vsnprintf(to->message, sizeof(to->message), format, arguments);
  return 1;  // handled: libtiff's global handler would print
}

int drop_message(TIFF*, void*, const char*, const char*, va_list) { return 1; }

std::unique_ptr<TIFF, decltype(&TIFFClose)> open(TiffInput& in) {
  const std::unique_ptr<TIFFOpenOptions, decltype(&TIFFOpenOptionsFree)> options(TIFFOpenOptionsAlloc(),
                                                                                 TIFFOpenOptionsFree);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), keep_message, &in);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), drop_message, &in);
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), tmsize_t{1} << 29);
  const auto read = [](thandle_t handle, void* to, tmsize_t count) -> tmsize_t {
    auto& file = input(handle);
    if (file.at >= file.bytes.size() || count <= 0) return 0;
    const std::uint64_t n = std::min<std::uint64_t>(static_cast<std::uint64_t>(count), file.bytes.size() - file.at);
    std::memcpy(to, file.bytes.data() + file.at, n);
    file.at += n;
    return static_cast<tmsize_t>(n);
  };
  const auto write = [](thandle_t, void*, tmsize_t) -> tmsize_t { return 0; };
  const auto seek = [](thandle_t handle, toff_t offset, int whence) -> toff_t {
    auto& file = input(handle);
    file.at = whence == SEEK_SET ? offset : whence == SEEK_CUR ? file.at + offset : file.bytes.size() + offset;
    return file.at;
  };
  const auto close = [](thandle_t) -> int { return 0; };
  const auto size = [](thandle_t handle) -> toff_t { return input(handle).bytes.size(); };
  // "m": no mapping, "r": read. Without map functions libtiff always reads through the callbacks, which know where the
  // data ends.
  return {TIFFClientOpenExt("memory", "rm", &in, read, write, seek, close, size, nullptr, nullptr, options.get()),
          TIFFClose};
}

}  // namespace

cv::Mat decode_tiff(std::span<const std::uint8_t> bytes, cv::Size size) {
  TiffInput in{bytes};
  const auto fail = [&] {
    throw Error("cannot decode TIFF: ", in.message[0] ? in.message : "it is broken or of an unknown kind");
  };
  const auto tiff = open(in);
  if (!tiff) fail();
  TIFFRGBAImage image;
  char reason[1024] = "";
  if (!TIFFRGBAImageBegin(&image, tiff.get(), 1, reason)) throw Error("cannot decode TIFF: ", reason);
  const std::unique_ptr<TIFFRGBAImage, decltype(&TIFFRGBAImageEnd)> end(&image, TIFFRGBAImageEnd);
  if (static_cast<int>(image.width) != size.width || static_cast<int>(image.height) != size.height) fail();
  image.req_orientation = image.orientation;  // the rows as they are stored
  std::vector<std::uint32_t> pixels(static_cast<std::size_t>(size.width) * size.height);
  if (!TIFFRGBAImageGet(&image, pixels.data(), image.width, image.height) || in.message[0]) fail();
  cv::Mat rgb(size, CV_8UC3);
  for (int y = 0; y < size.height; ++y) {
    const std::uint32_t* row = pixels.data() + static_cast<std::size_t>(y) * size.width;
    auto* out = rgb.ptr<cv::Vec3b>(y);
    for (int x = 0; x < size.width; ++x)
      out[x] = {static_cast<std::uint8_t>(TIFFGetR(row[x])), static_cast<std::uint8_t>(TIFFGetG(row[x])),
                static_cast<std::uint8_t>(TIFFGetB(row[x]))};
  }
  return rgb;
}

}  // namespace unlabel::augment
