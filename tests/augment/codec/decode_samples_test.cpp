// What files hold beside 8-bit RGB: deep, signed and floating-point samples, more bands, other formats.
#include <unlabel/augment/codec/decode.h>
#include <unlabel/augment/codec/image_header.h>
#include <unlabel/augment/error.h>

#include "augment/codec/jpeg.h"
#include "little_memory.h"
#include "refusal.h"
#include <gtest/gtest.h>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <string>

namespace unlabel::augment::decode_samples_test {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::string refusal(const Bytes& bytes, const DecodeOptions& options = {}) {
  return unlabel::refusal<Error>([&] { decode(bytes, options); });
}

double apart(const cv::Mat& a, const cv::Mat& b) {
  return a.size() == b.size() && a.type() == b.type() ? cv::norm(a, b, cv::NORM_INF) : 1e9;
}

/// A TIFF in one strip, in this machine's (little-endian) order.
struct Tiff {
  int width, height, samples, bits;
  int format = 1;  ///< 1 unsigned, 2 signed, 3 floating-point
  int photometric = 1;
  int planes = 1;  ///< 2: every sample in a plane of its own
  int tile = 0;    ///< the side of tiles
  int compression = 1;
  std::map<int, int> more{};  ///< tags with a number

  Bytes with(Bytes pixels) const {
    Bytes file{'I', 'I', 42, 0, 0, 0, 0, 0};
    const auto put = [&](std::uint32_t value, int bytes) {
      for (int i = 0; i < bytes; ++i) file.push_back(static_cast<std::uint8_t>(value >> 8 * i));
    };
    const auto repeated = [&](int value) {
      const auto at = file.size();
      for (int i = 0; i < samples; ++i) put(static_cast<std::uint32_t>(value), 2);
      if (file.size() % 2) put(0, 1);
      return static_cast<std::uint32_t>(at);
    };
    const std::uint32_t bits_at = repeated(bits), format_at = repeated(format);
    const int pieces = planes == 2 ? samples : 1;
    const auto piece = static_cast<std::uint32_t>(pixels.size() / static_cast<std::size_t>(pieces));
    const auto data = static_cast<std::uint32_t>(file.size());
    file.insert(file.end(), pixels.begin(), pixels.end());
    const auto offsets = static_cast<std::uint32_t>(file.size());
    for (int i = 0; i < pieces; ++i) put(data + piece * static_cast<std::uint32_t>(i), 4);
    const auto counts = static_cast<std::uint32_t>(file.size());
    for (int i = 0; i < pieces; ++i) put(piece, 4);
    if (file.size() % 2) put(0, 1);
    const auto directory = static_cast<std::uint32_t>(file.size());
    for (int i = 0; i < 4; ++i) file[4 + i] = static_cast<std::uint8_t>(directory >> 8 * i);
    std::map<int, std::array<std::uint32_t, 3>> entries;  // tag -> type, count, value
    const auto number = [&](int tag, int value) { entries[tag] = {4, 1, static_cast<std::uint32_t>(value)}; };
    const auto of_samples = [&](int tag, std::uint32_t at, int value) {
      const auto two = static_cast<std::uint32_t>(value) * 0x10001u;
      entries[tag] = {3, static_cast<std::uint32_t>(samples), samples <= 2 ? two : at};
    };
    number(256, width), number(257, height), number(259, compression), number(262, photometric), number(277, samples);
    number(284, planes);
    for (const auto& [tag, value] : more) number(tag, value);
    of_samples(258, bits_at, bits), of_samples(339, format_at, format);
    if (tile) {
      number(322, tile), number(323, tile);
    } else {
      number(278, height);
    }
    entries[tile ? 324 : 273] = {4, static_cast<std::uint32_t>(pieces), pieces == 1 ? data : offsets};
    entries[tile ? 325 : 279] = {4, static_cast<std::uint32_t>(pieces), pieces == 1 ? piece : counts};
    put(static_cast<std::uint32_t>(entries.size()), 2);
    for (const auto& [tag, entry] : entries)
      put(static_cast<std::uint32_t>(tag), 2), put(entry[0], 2), put(entry[1], 4), put(entry[2], 4);
    put(0, 4);
    return file;
  }

  template <class Sample>
  Bytes of(const std::vector<Sample>& values) const {
    Bytes pixels(values.size() * sizeof(Sample));
    std::memcpy(pixels.data(), values.data(), pixels.size());
    return with(pixels);
  }
};

/// CV_8UC3 of gray levels in one row.
cv::Mat grey_row(const std::vector<int>& levels) {
  cv::Mat row(1, static_cast<int>(levels.size()), CV_8UC3);
  for (int x = 0; x < row.cols; ++x) row.at<cv::Vec3b>(0, x) = cv::Vec3b::all(static_cast<std::uint8_t>(levels[x]));
  return row;
}

Bytes png(const cv::Mat& image) {
  Bytes bytes;
  cv::imencode(".png", image, bytes);
  return bytes;
}

const DecodeOptions kTwelveBits{.range = {{0, 4095}}};

TEST(DecodeSamples, TwelveBitsInSixteenTakeTheirRange) {
  const std::vector<std::uint16_t> samples{0, 1, 8, 9, 2047, 2048, 4095, 4096, 65535};
  const cv::Mat pixels(1, 9, CV_16UC1, const_cast<std::uint16_t*>(samples.data()));
  // round(255 v / 4095): 8 is .498 and 9 is .56 of a level; what lies above is white.
  const cv::Mat ranged = grey_row({0, 0, 0, 1, 127, 128, 255, 255, 255});
  const cv::Mat upper = grey_row({0, 0, 0, 0, 7, 8, 15, 16, 255});
  const Tiff tiff{.width = 9, .height = 1, .samples = 1, .bits = 16};
  std::string pgm = "P5 9 1 65535\n";
  for (const auto sample : samples) pgm += {static_cast<char>(sample >> 8), static_cast<char>(sample & 255)};
  for (const auto& source : {ImageSource{png(pixels), {}}, ImageSource{tiff.of(samples), {}},
                             ImageSource{{pgm.begin(), pgm.end()}, {}}, ImageSource{{}, pixels}}) {
    EXPECT_EQ(apart(decode(source, kTwelveBits), ranged), 0) << source.bytes.size();
    EXPECT_EQ(apart(decode(source), upper), 0) << source.bytes.size();
    PlanarImage planes;
    decode_planes(source, kTwelveBits, planes);
    EXPECT_EQ(planes.data(0)[4], 127);
  }
  // Three channels, and an alpha that does not count.
  const std::vector<std::uint16_t> rgba{4095, 0, 2048, 65535, 0, 4095, 9, 0};
  const cv::Mat colors(1, 2, CV_16UC4, const_cast<std::uint16_t*>(rgba.data()));
  const cv::Mat expected = (cv::Mat_<cv::Vec3b>(1, 2) << cv::Vec3b(255, 0, 128), cv::Vec3b(0, 255, 1));
  const Tiff with_alpha{.width = 2, .height = 1, .samples = 4, .bits = 16, .photometric = 2};
  EXPECT_EQ(apart(decode(ImageSource{{}, colors}, kTwelveBits), expected), 0);
  EXPECT_EQ(apart(decode(with_alpha.of(rgba), kTwelveBits), expected), 0);
}

TEST(DecodeSamples, TheRangeIsOfDeepSamplesOnly) {
  const cv::Mat bytes = (cv::Mat_<std::uint8_t>(1, 3) << 0, 100, 255);
  const cv::Mat expected = grey_row({0, 100, 255});
  EXPECT_EQ(apart(decode(png(bytes), kTwelveBits), expected), 0);
  EXPECT_EQ(apart(decode(ImageSource{{}, bytes}, kTwelveBits), expected), 0);
  const std::string pgm = "P2 3 1 1000 0 392 1000";  // says itself what is white
  EXPECT_EQ(apart(decode(Bytes(pgm.begin(), pgm.end())), expected), 0);
  EXPECT_EQ(apart(decode(Bytes(pgm.begin(), pgm.end()), {.range = {{0, 392}}}), grey_row({0, 255, 255})), 0);
}

template <class Sample>
void expect_ranged(const Tiff& tiff, const std::vector<Sample>& samples, std::array<double, 2> range,
                   const std::vector<int>& levels) {
  const Bytes file = tiff.of(samples);
  EXPECT_NE(refusal(file).find("have no levels of their own: give their range"), std::string::npos) << refusal(file);
  ASSERT_EQ(refusal(file, {.range = range}), "(accepted)");
  EXPECT_EQ(apart(decode(file, {.range = range}), grey_row(levels)), 0);
}

TEST(DecodeSamples, SignedAndFloatingPointNeedARange) {
  const auto row = [](int bits, int format) {
    return Tiff{.width = 4, .height = 1, .samples = 1, .bits = bits, .format = format};
  };
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  expect_ranged<std::int8_t>(row(8, 2), {-128, -1, 0, 127}, {-128, 127}, {0, 127, 128, 255});
  expect_ranged<std::int16_t>(row(16, 2), {-1024, 0, 3071, -32768}, {-1024, 3071}, {0, 64, 255, 0});
  expect_ranged<std::int32_t>(row(32, 2), {-100000, 0, 100000, 200000}, {-100000, 100000}, {0, 128, 255, 255});
  expect_ranged<std::uint32_t>(row(32, 1), {0, 4000000000u, 2000000000u, 1}, {0, 4e9}, {0, 255, 128, 0});
  expect_ranged<float>(row(32, 3), {0, 1, .5f, kNan}, {0, 1}, {0, 255, 128, 0});
  expect_ranged<double>(row(64, 3), {-1, 1, 0, 7}, {-1, 1}, {0, 255, 128, 255});
  for (const int type : {CV_8SC1, CV_16SC1, CV_32SC1, CV_32FC1, CV_64FC1}) {
    const cv::Mat pixels(1, 3, type, cv::Scalar(5));
    EXPECT_THROW(decode(ImageSource{{}, pixels}), UsageError) << type;
    EXPECT_EQ(apart(decode(ImageSource{{}, pixels}, {.range = {{0, 10}}}), grey_row({128, 128, 128})), 0) << type;
  }
  EXPECT_THROW(decode(ImageSource{{}, cv::Mat(1, 1, CV_16UC1, cv::Scalar(0))}, {.range = {{1, 1}}}), UsageError);
}

TEST(DecodeSamples, PlanesAndTilesAreReadAlike) {
  const int side = 20;
  std::vector<std::uint16_t> together, apart_planes(3 * side * side);
  for (int i = 0; i < side * side; ++i)
    for (int c = 0; c < 3; ++c) {
      together.push_back(static_cast<std::uint16_t>(i * 150 + c * 1000));
      apart_planes[static_cast<std::size_t>(c * side * side + i)] = together.back();
    }
  const Tiff strip{.width = side, .height = side, .samples = 3, .bits = 16, .photometric = 2};
  const cv::Mat expected = decode(strip.of(together));
  EXPECT_EQ(expected.at<cv::Vec3b>(3, 7)[1], (67 * 150 + 1000) >> 8);
  Tiff planes = strip;
  planes.planes = 2;
  EXPECT_EQ(apart(decode(planes.of(apart_planes)), expected), 0);
  // One tile of 32 pixels, of which 20 are the image.
  std::vector<std::uint16_t> padded(32 * 32 * 3, 7);
  for (int y = 0; y < side; ++y) std::copy_n(together.begin() + y * side * 3, side * 3, padded.begin() + y * 32 * 3);
  Tiff tiles = strip;
  tiles.tile = 32;
  EXPECT_EQ(apart(decode(tiles.of(padded)), expected), 0);
}

TEST(DecodeSamples, BandsWithoutAPlaceInRgbAreRefused) {
  const auto of_bands = [](int samples, int photometric, int bits = 8) {
    const Tiff tiff{.width = 2, .height = 2, .samples = samples, .bits = bits, .photometric = photometric};
    return refusal(tiff.with(Bytes(static_cast<std::size_t>(samples * bits / 2), 50)));
  };
  for (const int bands : {5, 6, 12})
    for (const int bits : {8, 16})
      EXPECT_EQ(of_bands(bands, 1, bits),
                concat("cannot decode TIFF: ", bands,
                       " samples a pixel; images have 1 to 4 (gray, RGB, CMYK; one may be alpha)"));
  EXPECT_NE(of_bands(3, 1).find("3 samples a pixel where the photometric tag names 1"), std::string::npos);
  EXPECT_NE(of_bands(4, 1, 16).find("4 samples a pixel where the photometric tag names 1"), std::string::npos);
  EXPECT_NE(of_bands(2, 2).find("2 samples a pixel where the photometric tag names 3"), std::string::npos);
  EXPECT_NE(of_bands(3, 8).find("CIELAB"), std::string::npos);
  EXPECT_NE(of_bands(1, 1, 12).find("unsigned samples of 12 bits are not supported"), std::string::npos);
  EXPECT_NE(of_bands(4, 5, 16).find("unsigned samples of 16 bits are supported of gray and RGB only"),
            std::string::npos);
  EXPECT_EQ(of_bands(2, 1), "(accepted)") << "gray and alpha";
  EXPECT_EQ(of_bands(4, 2), "(accepted)") << "RGB and alpha";
  EXPECT_EQ(of_bands(4, 5), "(accepted)") << "CMYK";
}

TEST(DecodeSamples, TruncatedDeepFilesAreRefused) {
  const std::vector<std::uint16_t> samples(40 * 30 * 3, 300);
  const Bytes file = Tiff{.width = 40, .height = 30, .samples = 3, .bits = 16, .photometric = 2}.of(samples);
  ASSERT_EQ(refusal(file), "(accepted)");
  // The pixels begin 100 bytes before the end.
  Bytes bad = file;
  const std::size_t directory = file[4] + 256u * file[5], begin = file.size() - 100;
  for (std::size_t entry = directory + 2; entry + 12 <= bad.size(); entry += 12)
    if (bad[entry] == (273 & 255) && bad[entry + 1] == 273 >> 8)
      bad[entry + 8] = static_cast<std::uint8_t>(begin), bad[entry + 9] = static_cast<std::uint8_t>(begin >> 8);
  ASSERT_NE(bad, file);
  EXPECT_NE(refusal(bad), "(accepted)");
}

TEST(DecodeSamples, SmallPartsOfSixteenBitsAreReported) {
  const auto report_of = [](int low, int high, const DecodeOptions& options = {}) {
    DecodeReport report;
    const cv::Mat pixels = (cv::Mat_<std::uint16_t>(1, 2) << low, high);
    decode(ImageSource{{}, pixels}, options, &report);
    DecodeReport of_file;
    decode(png(pixels), options, &of_file);
    EXPECT_EQ(of_file.lowest, report.lowest);
    EXPECT_EQ(of_file.highest, report.highest);
    EXPECT_EQ(of_file.deep_images, report.deep_images);
    return report;
  };
  EXPECT_EQ(
      range_warning(report_of(0, 3500)),
      "16-bit images use 1/16 of their levels or less (the highest sample is at most 4095), of which 8 bits keep 16; "
      "give the samples that are black and white, for 12 bits in 16 --decode.range 0,4095 (in Python range=(0, 4095))");
  EXPECT_NE(range_warning(report_of(31000, 34000)).find("1/16"), std::string::npos) << "far from black";
  EXPECT_NE(range_warning(report_of(0, 16383)), "") << "14 bits";
  EXPECT_EQ(range_warning(report_of(0, 16384)), "");
  EXPECT_EQ(range_warning(report_of(0, 65535)), "");
  EXPECT_EQ(range_warning(report_of(0, 3500, kTwelveBits)), "");
  EXPECT_EQ(range_warning({}), "");
  // One dark image among others is none of it.
  auto both = report_of(0, 100);
  EXPECT_NE(range_warning(both), "");
  both += report_of(0, 60000);
  EXPECT_EQ(both.deep_images, 2);
  EXPECT_EQ(range_warning(both), "");
}

TEST(DecodeSamples, OtherFormatsAreRefusedByTheirName) {
  using std::string;
  const auto refused_as = [](const string& start, std::size_t at = 0) {
    string file(at, '\0');
    file += start + string(300, '\0');
    return refusal(Bytes(file.begin(), file.end()));
  };
  const std::vector<std::pair<string, string>> kinds{
      {"GIF89a", "a GIF"},
      {string("\0\0\0\x1c", 4) + "ftypheic", "a HEIC"},
      {string("\0\0\0\x1c", 4) + "ftypavif", "an AVIF"},
      {string("\0\0\0\x0cjP  \r\n", 10), "a JPEG 2000"},
      {"\xff\x0a", "a JPEG XL"},
      {"8BPS", "a Photoshop document"},
      {"PF\n3 2\n-1.0\n", "a PFM"},
      {"P7\nWIDTH 2", "a PAM"},
      {"<!DOCTYPE html><html>", "an HTML page"},
      {"%PDF-1.4", "a PDF"},
      {"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"}};
  for (const auto& [start, name] : kinds)
    EXPECT_TRUE(refused_as(start).starts_with("not an image that can be read: it is " + name)) << refused_as(start);
  for (const string& start : {string("GIF87a"), string("8BPS\0", 5), string("II\xbc\x01", 4), string("qoif\0", 5),
                              string("icns\0", 5), string("DDS \x7c\0\0\0", 8), string("IIRO\x08\0\0\0", 8)})
    EXPECT_TRUE(other_format(Bytes(start.begin(), start.end())).is_image) << start;
  // What a text or a small file of numbers may begin with says no image by itself.
  for (const string& start :
       {string("GIF8 is old"), string("8BPS is Photoshop's"), string("PF\n"), string("Pf 1"), string("P7\n"),
        string("\xff\x0a"), string("\0\0\1\0", 4), string("\0\0\2\0", 4), string("icns files"), string("qoif files"),
        string("DDS notes"), string("IIRO"), string("\x01\xda"), string("\x0a\x05\x01"), string("II\xbc")})
    EXPECT_FALSE(other_format(Bytes(start.begin(), start.end())).is_image) << start;
  EXPECT_TRUE(refused_as("DICM", 128).starts_with("not an image that can be read: it is a DICOM file"));
  EXPECT_EQ(refused_as("whatever"), "not an image that can be read: neither JPEG, PNG, WebP, BMP, TIFF nor PNM");
  EXPECT_EQ(refused_as(string("II+\0\x08\0\0\0", 8)), "broken image: its header gives no size")
      << "a BigTIFF is a TIFF";
}

TEST(DecodeSamples, HostileDirectoriesAndChunksEnd) {
  // A BigTIFF whose count of entries, offsets and sizes are as large as numbers get.
  Bytes file{'I', 'I', 43, 0, 8, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0};
  file.insert(file.end(), 8, 0xff);
  file.insert(file.end(), 100, 0xff);
  EXPECT_NE(refusal(file), "(accepted)");
  std::fill(file.begin() + 8, file.begin() + 16, 0xff);
  EXPECT_NE(refusal(file), "(accepted)");
  EXPECT_EQ(orientation(file, ImageFormat::kTiff), 1);
  // Chunks that claim more than there is, or nothing at all.
  for (const std::uint8_t size : {0x00, 0x7f, 0xff}) {
    Bytes chunks{0x89, 'P', 'N', 'G', 13, 10, 26, 10};
    for (int i = 0; i < 50; ++i) chunks.insert(chunks.end(), {size, size, size, size, 'e', 'X', 'I', 'f'});
    EXPECT_EQ(orientation(chunks, ImageFormat::kPng), 1);
    EXPECT_EQ(orientation(chunks, ImageFormat::kWebp), 1);
  }
}

TEST(DecodeSamples, RunLengthCodedBitmapsStayWithinTheImage) {
  // 4 x 2 pixels of 8 bits; what follows the header is the coded rows.
  const auto bitmap = [](const Bytes& coded, int bits = 8) {
    Bytes file{'B', 'M', 0, 0, 0, 0, 0, 0, 0, 0, 62, 0, 0, 0, 40, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 1, 0};
    file.insert(file.end(),
                {static_cast<std::uint8_t>(bits), 0, static_cast<std::uint8_t>(bits == 8 ? 1 : 2), 0, 0, 0});
    file.resize(46), file.push_back(2);  // two colors
    file.resize(54);
    file.insert(file.end(), {0, 0, 0, 0, 30, 20, 10, 0});
    file.insert(file.end(), coded.begin(), coded.end());
    return file;
  };
  const auto red = [&](const Bytes& coded, int bits = 8) {
    std::vector<int> levels;
    const cv::Mat image = decode(bitmap(coded, bits));
    for (const auto& pixel : cv::Mat_<cv::Vec3b>(image)) levels.push_back(pixel[0]);
    return levels;
  };
  using Row = std::vector<int>;
  EXPECT_EQ(red({4, 1, 0, 0, 2, 1, 0, 0, 0, 1}), (Row{10, 10, 0, 0, 10, 10, 10, 10}))
      << "rows from below, an early end of one";
  EXPECT_EQ(red({255, 1, 0, 0, 4, 0, 0, 1}), (Row{0, 0, 0, 0, 10, 10, 10, 10})) << "a run ends with its row";
  EXPECT_EQ(red({0, 2, 255, 255, 9, 1}), (Row{0, 0, 0, 0, 0, 0, 0, 0})) << "a step out of the image";
  EXPECT_EQ(red({0, 2, 3, 1, 1, 1}), (Row{0, 0, 0, 10, 0, 0, 0, 0})) << "a step to the right and up";
  EXPECT_EQ(red({0, 3, 1, 0, 1, 0, 0, 0, 4, 1}), (Row{10, 10, 10, 10, 10, 0, 10, 0}))
      << "as they are, to an even number";
  EXPECT_EQ(red({4, 0x10, 0, 0, 0, 3, 0x11, 0x10, 0, 0, 0, 1}, 4), (Row{10, 10, 10, 0, 10, 0, 10, 0})) << "two in turn";
  EXPECT_EQ(red({0, 200, 1, 1, 1, 1, 1, 1, 1, 1}), Row(8, 10)) << "more than the image takes";
  for (const Bytes& cut : {Bytes{}, Bytes{4}, Bytes{4, 1}, Bytes{0, 2, 1}, Bytes{0, 8, 1, 1, 1},
                           Bytes{4, 1, 0, 0, 3, 1}, Bytes{4, 1, 0, 1}, Bytes{4, 1, 0, 0, 2, 1, 0, 1},
                           Bytes{0, 1}})  // Pillow too refuses an end before the last pixel
    EXPECT_EQ(refusal(bitmap(cut)), "cannot decode BMP: the file is truncated");
  Bytes other = bitmap({4, 1});
  other[30] = 4;
  EXPECT_EQ(refusal(other), "cannot decode BMP: compression 4 of 8 bits a pixel is not supported");
}

TEST(DecodeSamples, MemoryThatIsWantingIsNoFaultOfTheImage) {
  if (!kLittleMemoryWorks) GTEST_SKIP() << "a sanitizer takes more memory than a limit would allow";
  const auto told = [](const Bytes& file, std::uint64_t memory) {
    return limit_error_in(memory, [&] { decode(file, {.max_pixels = 1 << 30}); });
  };
  const auto wanting = [](const char* size) { return concat("there is too little memory for an image of ", size); };
  const auto encoded = [](const char* format, const cv::Mat& image, const std::vector<int>& parameters = {}) {
    Bytes bytes;
    cv::imencode(format, image, bytes, parameters);
    return bytes;
  };
  // 100 MB of pixels, which take 300 as RGB.
  Bytes pnm{'P', '5', ' '};
  for (const char c : std::string("20000 5000 255\n")) pnm.push_back(static_cast<std::uint8_t>(c));
  pnm.resize(pnm.size() + std::size_t{20000} * 5000);
  EXPECT_TRUE(told(pnm, 64'000'000).starts_with(wanting("20000 x 5000 pixels"))) << told(pnm, 64'000'000);
  // Where there is memory for the image, and not for what its library needs beside: 2 MB of coefficients, a row of PNG, 3.2 MB of a
  // lossless WebP, a strip of a TIFF.
  const cv::Mat gray(1000, 1000, CV_8UC1, cv::Scalar(128)), color(1000, 1000, CV_8UC3, cv::Scalar(10, 20, 30));
  const Bytes jpeg = encode_jpeg(gray, JCS_GRAYSCALE, JCS_GRAYSCALE, /*progressive=*/true);
  EXPECT_TRUE(told(jpeg, 4'000'000).starts_with(wanting("1000 x 1000 pixels"))) << told(jpeg, 4'000'000);
  const auto planes = limit_error_in(2'000'000, [&] {
    PlanarImage out;
    decode_planes({jpeg, {}}, {}, out);
  });
  EXPECT_TRUE(planes.starts_with(wanting("1000 x 1000 pixels"))) << planes;
  const Bytes row = encoded(".png", cv::Mat(1, kMaxSide, CV_8UC3, cv::Scalar(1, 2, 3)));
  EXPECT_TRUE(told(row, 300'000).starts_with(wanting("65535 x 1 pixels"))) << told(row, 300'000);
  const Bytes webp = encoded(".webp", color, {cv::IMWRITE_WEBP_QUALITY, 101});
  for (const std::uint64_t memory : {1'000'000, 5'000'000})
    EXPECT_TRUE(told(webp, memory).starts_with(wanting("1000 x 1000 pixels"))) << told(webp, memory);
  Bytes runs;  // PackBits: 128 times a zero
  for (int i = 0; i < 1024 * 1024 * 3 / 128; ++i) runs.insert(runs.end(), {0x81, 0});
  const Bytes strip =
      Tiff{.width = 1024, .height = 1024, .samples = 3, .bits = 8, .photometric = 2, .compression = 32773}.with(runs);
  EXPECT_TRUE(told(strip, 9'000'000).starts_with(wanting("1024 x 1024 pixels"))) << told(strip, 9'000'000);
  for (const auto* file : {&jpeg, &row, &webp, &strip}) EXPECT_EQ(told(*file, 64'000'000), "(accepted)");
}

TEST(DecodeSamples, ASmallTiffThatCallsItselfLargeTakesNoMemory) {
  const auto large = [](int compression, std::size_t bytes, int tile = 0) {
    return Tiff{.width = 13000, .height = 13000, .samples = 1, .bits = 8, .tile = tile, .compression = compression}
        .with(Bytes(bytes));
  };
  for (const int compression : {1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 50000})
    for (const std::size_t bytes : {0, 20})
      for (const int tile : {0, 13008}) {
        const auto file = large(compression, bytes, tile);
        const auto told =
            kLittleMemoryWorks ? limit_error_in(64'000'000, [&] { decode(file); }) : "(no LimitError) " + refusal(file);
        EXPECT_EQ(told, "(no LimitError) cannot decode TIFF: the file is truncated") << compression << " " << tile;
      }
  // What shrinks as far as it can is taken.
  const cv::Mat blank(3000, 3000, CV_8UC3, cv::Scalar::all(255));
  for (const int compression : {1, 5, 8, 32773}) {
    Bytes file;
    cv::imencode(".tiff", blank, file, {cv::IMWRITE_TIFF_COMPRESSION, compression});
    EXPECT_EQ(refusal(file), "(accepted)") << compression;
  }
  // A blank page by fax: every row is that before it, a bit each.
  const Tiff page{.width = 8000, .height = 2000, .samples = 1, .bits = 1, .photometric = 0, .compression = 4};
  EXPECT_EQ(refusal(page.with(Bytes(250, 0xff))), "(accepted)");
}

TEST(DecodeSamples, TagsThatSayNothingOfThePixelsBreakNoTiff) {
  // Orientation and ResolutionUnit with values that they cannot have: Pillow and libtiff pass over them.
  for (const auto& [tag, value] : std::vector<std::pair<int, int>>{{274, 0}, {274, 9}, {296, 0}, {296, 7}}) {
    const auto file = Tiff{.width = 3, .height = 1, .samples = 1, .bits = 8, .more = {{tag, value}}}.with({1, 2, 3});
    EXPECT_EQ(refusal(file), "(accepted)") << tag;
  }
  // What is wrong with the pixels still does.
  auto cut =
      Tiff{.width = 3, .height = 2, .samples = 1, .bits = 8, .compression = 32773, .more = {{274, 9}}}.with({2, 1});
  EXPECT_NE(refusal(cut), "(accepted)");
}

TEST(DecodeSamples, HalvesOfANetpbmLevelGoToTheEvenOne) {
  // 30 of 100 is 76.5 and 70 is 178.5, as Pillow's round() has them; 50 is 127.5.
  const std::string pgm = "P5 4 1 100\n" + std::string{30, 70, 50, 100};
  EXPECT_EQ(apart(decode(Bytes(pgm.begin(), pgm.end())), grey_row({76, 178, 128, 255})), 0);
}

TEST(DecodeSamples, ABitmapsPixelsAreBehindItsPalette) {
  // 4 x 1 pixels of 8 bits and two colors, which end at byte 62; some writers name byte 54, where they begin.
  for (const std::uint8_t place : {62, 54}) {
    Bytes file{'B', 'M', 0, 0, 0, 0, 0, 0, 0, 0, place, 0, 0, 0, 40, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1, 0, 8, 0};
    file.resize(46), file.push_back(2);
    file.resize(54);
    file.insert(file.end(), {0, 0, 0, 0, 30, 20, 10, 0, 1, 0, 0, 1});
    const cv::Mat image = decode(file);
    std::vector<int> red;
    for (const auto& pixel : cv::Mat_<cv::Vec3b>(image)) red.push_back(pixel[0]);
    EXPECT_EQ(red, (std::vector<int>{10, 0, 0, 10})) << int(place);
  }
}

TEST(DecodeSamples, PixelsHaveOneThreeOrFourChannels) {
  const cv::Mat alpha(1, 2, CV_8UC4, cv::Scalar(10, 20, 30, 40));
  EXPECT_EQ(apart(decode(ImageSource{{}, alpha}), cv::Mat(1, 2, CV_8UC3, cv::Scalar(10, 20, 30))), 0);
  PlanarImage planes;
  decode_planes({{}, alpha}, {}, planes);
  EXPECT_EQ(planes.data(2)[0], 30);
  EXPECT_THROW(decode(ImageSource{{}, cv::Mat(1, 2, CV_8UC2, cv::Scalar(0))}), UsageError);
  EXPECT_THROW(decode(ImageSource{{}, cv::Mat(1, 2, CV_8UC(5), cv::Scalar(0))}), UsageError);
}

}  // namespace
}  // namespace unlabel::augment::decode_samples_test
