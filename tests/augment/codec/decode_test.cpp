#include <unlabel/augment/codec/decode.h>
#include <unlabel/augment/codec/image_header.h>
#include <unlabel/augment/error.h>

#include "augment/codec/jpeg.h"
#include "augment/golden.h"
#include "refusal.h"
#include <gtest/gtest.h>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

namespace unlabel::augment::decode_test {
namespace {

using Bytes = std::vector<std::uint8_t>;

cv::Mat picture(int height, int width) {
  cv::Mat image(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      image.at<cv::Vec3b>(y, x) = cv::Vec3b(static_cast<uchar>(x * 255 / width), static_cast<uchar>(y * 255 / height),
                                            static_cast<uchar>((x * x + 3 * y) % 256));
  return image;
}

/// Encodes an RGB (or gray, or BGRA as it is) image with OpenCV.
Bytes encode(const std::string& extension, const cv::Mat& image, const std::vector<int>& parameters = {}) {
  cv::Mat bgr;
  if (image.channels() == 3) {
    cv::cvtColor(image, bgr, cv::COLOR_RGB2BGR);
  } else {
    bgr = image;
  }
  Bytes bytes;
  cv::imencode(extension, bgr, bytes, parameters);
  return bytes;
}

std::string refusal(const Bytes& bytes, const DecodeOptions& options = {}) {
  return unlabel::refusal<Error>([&] { decode(bytes, options); });
}

double apart(const cv::Mat& a, const cv::Mat& b) {
  return a.size() == b.size() && a.type() == b.type() ? cv::norm(a, b, cv::NORM_INF) : 1e9;
}

TEST(DecodeGolden, EqualsPillowOnEveryKindOfPixel) {
  const GoldenFile file(std::string(UNLABEL_SOURCE_DIR) + "/tests/golden/decode.safetensors");
  ASSERT_GT(file.cases.size(), 120u);
  for (const auto& item : file.cases) {
    const cv::Mat bytes = file.image(item["in"]), expected = file.image(item["out"]);
    const Bytes encoded(bytes.datastart, bytes.dataend);
    const DecodeOptions options{.exif_orientation = item["upright"]};
    EXPECT_EQ(image_size(encoded, options), expected.size()) << item["in"];
    ASSERT_EQ(refusal(encoded, options), "(accepted)") << item["in"];
    EXPECT_EQ(apart(decode(encoded, options), expected), 0) << item["in"];
  }
}

TEST(Decode, ReadsEveryFormatAsRgb) {
  const cv::Mat image = picture(37, 53);
  for (const char* extension : {".png", ".bmp", ".tiff", ".ppm"}) {
    const Bytes bytes = encode(extension, image);
    EXPECT_EQ(apart(decode(bytes), image), 0) << extension;
    EXPECT_EQ(image_size(bytes), cv::Size(53, 37)) << extension;
  }
  for (const auto& bytes :
       {encode(".webp", image, {cv::IMWRITE_WEBP_QUALITY, 101}), encode(".webp", image, {cv::IMWRITE_WEBP_QUALITY, 90}),
        encode_jpeg(image, JCS_RGB, JCS_YCbCr), encode_jpeg(image, JCS_RGB, JCS_RGB),
        encode_jpeg(image, JCS_RGB, JCS_YCbCr, true)}) {
    EXPECT_EQ(image_size(bytes), cv::Size(53, 37));
    const cv::Mat decoded = decode(bytes);
    ASSERT_EQ(decoded.size(), image.size());
    ASSERT_EQ(decoded.type(), CV_8UC3);
    EXPECT_LT(cv::norm(decoded, image, cv::NORM_L1) / static_cast<double>(image.total() * 3), 20);
  }
}

TEST(Decode, RepeatsGreyAndDropsAlpha) {
  const cv::Mat image = picture(20, 30);
  cv::Mat gray, repeated;
  cv::cvtColor(image, gray, cv::COLOR_RGB2GRAY);
  cv::cvtColor(gray, repeated, cv::COLOR_GRAY2RGB);
  for (const char* extension : {".png", ".bmp", ".tiff", ".pgm"})
    EXPECT_EQ(apart(decode(encode(extension, gray)), repeated), 0) << extension;
  EXPECT_LE(apart(decode(encode_jpeg(gray, JCS_GRAYSCALE, JCS_GRAYSCALE)), repeated), 3);

  cv::Mat transparent;
  cv::cvtColor(image, transparent, cv::COLOR_RGB2BGRA);
  for (int y = 0; y < transparent.rows; ++y) transparent.at<cv::Vec4b>(y, 3)[3] = static_cast<uchar>(y);
  EXPECT_EQ(apart(decode(encode(".png", transparent)), image), 0);

  cv::Mat deep;
  image.convertTo(deep, CV_16U, 257);  // 16 bits scale to the same 8
  EXPECT_EQ(apart(decode(encode(".png", deep)), image), 0);
}

TEST(Decode, ConvertsCmykAsPillow) {
  // Adobe's inverted inks: 255 is none. Ink c over key k leaves k c / 255.
  cv::Mat inks(16, 16, CV_8UC4, cv::Scalar(200, 100, 255, 128));
  for (const auto stored : {JCS_CMYK, JCS_YCCK}) {
    const cv::Mat decoded = decode(encode_jpeg(inks, JCS_CMYK, stored));
    const cv::Vec3b pixel = decoded.at<cv::Vec3b>(8, 8);
    EXPECT_NEAR(pixel[0], 200 * 128 / 255, 2);
    EXPECT_NEAR(pixel[1], 100 * 128 / 255, 2);
    EXPECT_NEAR(pixel[2], 128, 2);
  }
}

TEST(Decode, TurnsByExifOnlyWhenAsked) {
  const cv::Mat image = picture(24, 40);
  const Bytes plain = encode_jpeg(image, JCS_RGB, JCS_YCbCr);
  const cv::Mat expected = decode(plain);
  cv::Mat transposed;
  cv::transpose(expected, transposed);
  const auto flipped = [](const cv::Mat& m, int code) {
    cv::Mat out;
    cv::flip(m, out, code);
    return out;
  };
  const std::map<int, cv::Mat> upright{{1, expected},
                                       {2, flipped(expected, 1)},
                                       {3, flipped(expected, -1)},
                                       {4, flipped(expected, 0)},
                                       {5, transposed},
                                       {6, flipped(transposed, 1)},
                                       {7, flipped(transposed, -1)},
                                       {8, flipped(transposed, 0)},
                                       {9, expected},
                                       {0, expected}};
  for (const auto& [orientation, turned] : upright)
    for (const bool big_endian : {false, true}) {
      const Bytes bytes = with_orientation(plain, orientation, big_endian);
      EXPECT_EQ(apart(decode(bytes), expected), 0) << orientation;
      EXPECT_EQ(apart(decode(bytes, {.exif_orientation = true}), turned), 0) << orientation;
      EXPECT_EQ(image_size(bytes), cv::Size(40, 24));
      EXPECT_EQ(image_size(bytes, {.exif_orientation = true}), turned.size());
    }
}

TEST(Decode, RefusesWhatIsTooLargeByItsHeader) {
  Bytes png = encode(".png", picture(4, 4));
  png[16] = 0x00, png[17] = 0x01, png[18] = 0x00, png[19] = 0x00;  // 65536 x 65536
  png[20] = 0x00, png[21] = 0x01, png[22] = 0x00, png[23] = 0x00;
  EXPECT_EQ(refusal(png), "image too large: 65536 x 65536 pixels, more than max_pixels, 178956970");
  EXPECT_EQ(image_size(png), cv::Size(65536, 65536));
  Bytes jpeg = encode_jpeg(picture(16, 16), JCS_RGB, JCS_YCbCr);
  for (std::size_t i = 2; i + 8 < jpeg.size(); ++i)
    if (jpeg[i] == 0xFF && jpeg[i + 1] == 0xC0) jpeg[i + 5] = jpeg[i + 7] = 0xFD, jpeg[i + 6] = jpeg[i + 8] = 0xE8;
  EXPECT_NE(refusal(jpeg).find("image too large: 65000 x 65000"), std::string::npos);
  EXPECT_EQ(refusal(jpeg, {.max_pixels = 1ll << 40}), "cannot decode JPEG: the file is truncated");
  EXPECT_NE(refusal(encode(".bmp", picture(20, 20)), {.max_pixels = 399}), "(accepted)");
  EXPECT_EQ(refusal(encode(".bmp", picture(20, 20)), {.max_pixels = 400}), "(accepted)");
}

TEST(Decode, RefusesWhatIsNoImage) {
  EXPECT_EQ(refusal({}), "not an image: the file is empty");
  const std::string text = "This is a README, not an image.";
  EXPECT_EQ(refusal(Bytes(text.begin(), text.end())),
            "not an image that can be read: neither JPEG, PNG, WebP, BMP, TIFF nor PNM");
  EXPECT_NE(refusal({0xFF, 0xD8, 0xFF}), "(accepted)");
  EXPECT_NE(refusal({'G', 'I', 'F', '8', '9', 'a', 1, 0, 1, 0}), "(accepted)");
  EXPECT_THROW(image_size(Bytes(text.begin(), text.end())), Error);
  EXPECT_THROW(decode(ImageSource{{}, cv::Mat(2, 2, CV_32FC1)}), UsageError);
  EXPECT_EQ(decode(ImageSource{{}, cv::Mat(2, 2, CV_8UC1, cv::Scalar(9))}).type(), CV_8UC3);
}

TEST(Decode, RefusesSidesThatAreTooLong) {
  // A strip of one bit a pixel: a few kilobytes, and gigabytes to resize it.
  Bytes png = encode(".png", cv::Mat(70000, 1, CV_8UC1, cv::Scalar(0)), {cv::IMWRITE_PNG_BILEVEL, 1});
  EXPECT_EQ(refusal(png), "image too large: 1 x 70000 pixels, a side longer than 65535");
  EXPECT_EQ(refusal(encode(".png", cv::Mat(1, 65536, CV_8UC1, cv::Scalar(0)))),
            "image too large: 65536 x 1 pixels, a side longer than 65535");
  EXPECT_EQ(decode(encode(".png", cv::Mat(kMaxSide, 1, CV_8UC1, cv::Scalar(7)))).size(), cv::Size(1, kMaxSide));
}

TEST(Decode, OptionsAreATable) {
  DecodeOptions a{.exif_orientation = true, .max_pixels = 12345, .strict = true}, b;
  table(b).from_json(table(a).to_json(), "test");
  EXPECT_TRUE(b.exif_orientation);
  EXPECT_TRUE(b.strict);
  EXPECT_EQ(b.max_pixels, 12345);
  EXPECT_FALSE(b.range);
  a.range = {0, 4095};
  table(b).from_json(table(a).to_json(), "test");
  EXPECT_EQ(b.range, a.range);
  const auto set_range = [&](const char* text) {
    table(b).from_json({{"range", table(b).parse_text("range", text)}}, "test");
  };
  set_range("-1024,3071");
  EXPECT_EQ(b.range, (std::array<double, 2>{-1024, 3071}));
  for (const char* wrong : {"4095,0", "5,5", "1", "0,1,2", "a,b"})
    EXPECT_NE(unlabel::refusal<UsageError>([&] { set_range(wrong); }).find("'range' takes"), std::string::npos)
        << wrong;
  EXPECT_EQ(b.range, (std::array<double, 2>{-1024, 3071})) << "what is refused changes nothing";
  set_range("null");
  EXPECT_FALSE(b.range);
  EXPECT_EQ(table(a).fields().size(), 4u);
}

TEST(Decode, SaysThatAnimatedWebpIsNotSupported) {
  const std::string header("RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\x0f\0\0\x0b\0\0", 30);
  const Bytes bytes(header.begin(), header.end());
  EXPECT_EQ(image_size(bytes), cv::Size(16, 12));
  EXPECT_EQ(refusal(bytes), "animated WebP images are not supported; save the frame that is meant");
}

TEST(Decode, RefusesABareWebpHeaderSilently) {
  Bytes bytes = encode(".webp", picture(37, 53), {cv::IMWRITE_WEBP_QUALITY, 101});
  testing::internal::CaptureStderr();
  for (std::size_t length = 26; length < 40; ++length)
    EXPECT_NE(refusal(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length))), "(accepted)")
        << length;
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(Decode, RefusesALosslessWebpWithoutItsSignature) {
  const cv::Mat image = picture(37, 53);
  Bytes bytes = encode(".webp", image, {cv::IMWRITE_WEBP_QUALITY, 101});
  EXPECT_EQ(apart(decode(bytes), image), 0);
  ASSERT_EQ(bytes[20], 0x2f);
  bytes[20] = 0x2e;
  EXPECT_THROW(image_size(bytes), Error);
}

TEST(Decode, RefusesEveryTruncation) {
  const cv::Mat image = picture(61, 83);
  for (const auto& bytes : {encode_jpeg(image, JCS_RGB, JCS_YCbCr), encode_jpeg(image, JCS_RGB, JCS_YCbCr, true),
                            encode_jpeg(image, JCS_RGB, JCS_RGB), encode(".png", image), encode(".webp", image),
                            encode(".bmp", image), encode(".tiff", image), encode(".ppm", image)}) {
    const int format = static_cast<int>(image_format(bytes));
    ASSERT_EQ(refusal(bytes), "(accepted)") << format;
    for (std::size_t length = 0; length < bytes.size(); length += 97)
      EXPECT_NE(refusal(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length))), "(accepted)")
          << format << " at " << length;
    const std::size_t last = bytes[0] == 0xFF ? 60 : 1;  // of a JPEG, the end-of-image marker alone must be missed
    for (std::size_t missing = 1; missing < last; ++missing)
      EXPECT_NE(refusal(Bytes(bytes.begin(), bytes.end() - static_cast<std::ptrdiff_t>(missing))), "(accepted)")
          << format << " without " << missing;
  }
}

/// With damage in the middle that libjpeg warns of.
Bytes with_corrupt_scan(Bytes jpeg) {
  for (std::size_t i = jpeg.size() / 2; i < jpeg.size() / 2 + 40; ++i) jpeg[i] = 0x55;
  jpeg[jpeg.size() / 2 + 40] = 0xFF;  // a marker that does not belong here
  jpeg[jpeg.size() / 2 + 41] = 0xD3;
  return jpeg;
}

TEST(Decode, RefusesCorruptScansOnlyWhenStrict) {
  const Bytes jpeg = with_corrupt_scan(encode_jpeg(picture(64, 64), JCS_RGB, JCS_YCbCr));
  EXPECT_EQ(refusal(jpeg), "(accepted)");
  EXPECT_NE(refusal(jpeg, {.strict = true}), "(accepted)");
  EXPECT_EQ(refusal(encode_jpeg(picture(64, 64), JCS_RGB, JCS_YCbCr), {.strict = true}), "(accepted)");
}

TEST(Decode, ReportsWarningsOfLibjpeg) {
  const Bytes whole = encode_jpeg(picture(64, 64), JCS_RGB, JCS_YCbCr);
  const Bytes corrupt = with_corrupt_scan(whole);
  DecodeReport report;
  decode(whole, {}, &report);
  EXPECT_EQ(report.warnings, 0);
  decode(corrupt, {}, &report);
  const std::int64_t once = report.warnings;
  EXPECT_GT(once, 0);
  PlanarImage planes;
  EXPECT_EQ(decode_planes({corrupt, {}}, {}, planes).warnings, once);
  EXPECT_THROW(decode(corrupt, {.strict = true}, &report), Error);
  EXPECT_EQ(report.warnings, once) << "said by the error";
}

// Whatever the bytes are: an image or an Error, nothing else, and not a word on stderr.
TEST(Decode, SurvivesRandomDamageSilently) {
  const cv::Mat image = picture(33, 47);
  cv::RNG random(1);
  testing::internal::CaptureStderr();
  int decoded = 0, refused = 0;
  for (const auto& bytes :
       {encode_jpeg(image, JCS_RGB, JCS_YCbCr), encode_jpeg(image, JCS_RGB, JCS_YCbCr, true), encode(".png", image),
        encode(".webp", image), encode(".bmp", image), encode(".tiff", image), encode(".ppm", image)})
    for (int trial = 0; trial < 300; ++trial) {
      Bytes damaged = bytes;
      const int flips = random.uniform(1, 12);
      // Half of the damage goes to the header, where the sizes and offsets are.
      for (int i = 0; i < flips; ++i)
        damaged[random.uniform(
            0, static_cast<int>(trial % 2 == 0 ? damaged.size() : std::min<std::size_t>(damaged.size(), 200)))] =
            static_cast<std::uint8_t>(random.uniform(0, 256));
      ++(refusal(damaged, {.max_pixels = 1 << 22}) == "(accepted)" ? decoded : refused);
    }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_GT(decoded, 100);
  EXPECT_GT(refused, 100);
}

std::vector<std::vector<std::string>> read_tsv(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::vector<std::string>> rows;
  std::string line;
  std::getline(file, line);  // names of the columns
  while (std::getline(file, line)) {
    auto& columns = rows.emplace_back();
    std::istringstream fields(line);
    for (std::string field; std::getline(fields, field, '\t');) columns.push_back(field);
  }
  return rows;
}

// Pillow's verdict and size on real broken files: $UNLABEL_DATA/robust/manifest.tsv. Where we mean to differ is in robust_exceptions.tsv.
TEST(CiDecodeRobust, AgreesWithPillowButForTheListedExceptions) {
  const char* data = std::getenv("UNLABEL_DATA");
  const std::string folder = std::string(data ? data : "") + "/robust/";
  const auto manifest = read_tsv(folder + "manifest.tsv");
  if (!data || manifest.empty()) GTEST_SKIP() << "set UNLABEL_DATA to a folder that holds robust/manifest.tsv";
  std::map<std::string, std::string> expected;
  for (const auto& row : read_tsv(UNLABEL_SOURCE_DIR "/tests/augment/codec/robust_exceptions.tsv"))
    expected[row[0]] = row[1];
  ASSERT_FALSE(expected.empty());
  testing::internal::CaptureStderr();
  for (const auto& row : manifest) {
    std::ifstream file(folder + row[0], std::ios::binary);
    const Bytes bytes{std::istreambuf_iterator<char>(file), {}};
    const std::string verdict = refusal(bytes);
    PlanarImage planes;
    EXPECT_EQ(unlabel::refusal<Error>([&] { decode_planes({bytes, {}}, {}, planes); }), verdict) << row[0];
    const bool decoded = verdict == "(accepted)", by_pillow = row[3] == "ok";
    if (decoded && by_pillow) {
      const auto size = decode(bytes).size();
      EXPECT_EQ(std::to_string(size.width) + "x" + std::to_string(size.height), row[6]) << row[0];
      EXPECT_EQ(image_size(bytes), size) << row[0];
    }
    const auto exception = expected.find(row[0]);
    if (exception == expected.end()) {
      EXPECT_EQ(decoded, by_pillow) << row[0] << ": Pillow " << row[3] << " " << row[4] << ", here " << verdict;
    } else {
      EXPECT_EQ(decoded ? "decoded" : "refused", exception->second) << row[0] << ": " << verdict;
      EXPECT_NE(decoded, by_pillow) << row[0] << " is no exception any more";
      expected.erase(exception);
    }
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_TRUE(expected.empty()) << "not in the manifest: " << expected.begin()->first;
}

}  // namespace
}  // namespace unlabel::augment::decode_test
