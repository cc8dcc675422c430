#include <unlabel/augment/error.h>
#include <unlabel/data/image/idx.h>

#include "data/temp_folder.h"
#include "little_memory.h"
#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>

namespace unlabel::data {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes idx(const std::vector<std::uint32_t>& shape, const Bytes& content, std::uint8_t type = 8) {
  Bytes bytes{0, 0, type, static_cast<std::uint8_t>(shape.size())};
  for (const auto side : shape) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(side >> shift));
  }
  bytes.insert(bytes.end(), content.begin(), content.end());
  return bytes;
}

Bytes counted(std::size_t count) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7);
  return bytes;
}

Bytes gzip(const Bytes& bytes) {
  Bytes out(compressBound(bytes.size()) + 64);
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = const_cast<std::uint8_t*>(bytes.data());
  stream.avail_in = static_cast<unsigned>(bytes.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<unsigned>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

const char* kImages = "train-images-idx3-ubyte";
const char* kLabels = "train-labels-idx1-ubyte";

void expect_the_small_set(const Dataset& dataset) {
  ASSERT_EQ(dataset.size(), 4);
  augment::ImageSource source;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(dataset.label(i), i % 3);
    dataset.read(i, source);
    ASSERT_EQ(source.pixels.type(), CV_8UC1);
    ASSERT_EQ(source.pixels.size(), cv::Size(3, 2));
    for (int p = 0; p < 6; ++p)
      EXPECT_EQ(source.pixels.at<std::uint8_t>(p / 3, p % 3), static_cast<std::uint8_t>((6 * i + p) * 7));
  }
  EXPECT_EQ(dataset.class_names(), (std::vector<std::string>{"0", "1", "2"}));
  EXPECT_THROW(dataset.read(4, source), UsageError);
}

TEST(Idx, ReadsPlainAndCompressedFilesUnderAllTheirNames) {
  const auto images = idx({4, 2, 3}, counted(24)), labels = idx({4}, {0, 1, 2, 0});
  for (const std::string stem : {"train-", "emnist-letters-train-"}) {
    for (const std::string separator : {"-", "."}) {
      for (const std::string end : {"", ".gz"}) {
        const TempFolder folder;
        folder.write(stem + "images" + separator + "idx3-ubyte" + end, end.empty() ? images : gzip(images));
        folder.write(stem + "labels" + separator + "idx1-ubyte" + end, end.empty() ? labels : gzip(labels));
        EXPECT_TRUE(has_idx(folder.path(), Split::kTrain));
        EXPECT_FALSE(has_idx(folder.path(), Split::kTest));
        const auto dataset = open_idx(folder.path(), Split::kTrain);
        expect_the_small_set(*dataset);
        EXPECT_EQ(dataset->name(3), stem + "images" + separator + "idx3-ubyte" + end + "[3]");
        EXPECT_THROWS_WITH(open_idx(folder.path(), Split::kTest), UsageError, "no t10k-images-idx3-ubyte");
      }
    }
  }
  for (const std::string stem : {"t10k-", "test-"}) {
    const TempFolder folder;
    folder.write(stem + "images-idx3-ubyte", images);
    folder.write(stem + "labels-idx1-ubyte.gz", gzip(labels));
    expect_the_small_set(*open_idx(folder.path(), Split::kTest));
    EXPECT_THROWS_WITH(open_idx(folder.path(), Split::kTrain), UsageError, "no train-images-idx3-ubyte");
  }
}

TEST(Idx, PrefersThePlainFileAndNeedsNoLabels) {
  const TempFolder folder;
  folder.write(kImages, idx({4, 2, 3}, counted(24)));
  folder.write(std::string(kImages) + ".gz", "damaged");
  const auto dataset = open_idx(folder.path(), Split::kTrain);
  EXPECT_EQ(dataset->label(0), -1);
  EXPECT_TRUE(dataset->class_names().empty());
  folder.write("other-train-images-idx3-ubyte", "");
  EXPECT_THROWS_WITH(open_idx(folder.path(), Split::kTrain), UsageError, "several IDX data sets");
}

TEST(Idx, RefusesHeadersThatTheFileDoesNotBear) {
  constexpr std::uint32_t kHuge = 0xffffffff;
  const std::vector<std::pair<Bytes, std::string>> hostile{
      {{}, "ends before"},
      {{0, 0, 8}, "ends before"},
      {idx({4, 2}, counted(8)), "no IDX file"},
      {idx({4, 2, 3}, counted(24), 13), "no IDX file"},
      {idx({4, 2, 3}, counted(23)), "more than the file can"},
      {idx({4, 2, 3}, counted(25)), "more than its header"},
      {idx({0, 2, 3}, {}), "holds nothing"},
      {idx({4, 0, 3}, counted(24)), "a side of 0"},
      {idx({4, 2, 65536}, counted(24)), "a side of 65536"},
      {idx({kHuge, kHuge, kHuge}, counted(24)), "train-images"},
      {idx({kHuge, 65535, 65535}, counted(24)), "more than the file can"},
      {idx({1u << 31, 1u << 15, 1u << 15}, counted(24)), "more than the file can"},  // the product is 0 modulo 2^61
      {idx({24, 1, 1}, counted(0)), "more than the file can"},
  };
  for (const auto& [bytes, text] : hostile) {
    const TempFolder plain, compressed;
    plain.write(kImages, bytes);
    EXPECT_THROWS_WITH(open_idx(plain.path(), Split::kTrain), UsageError, text);
    compressed.write(std::string(kImages) + ".gz", gzip(bytes));
    EXPECT_THROW(open_idx(compressed.path(), Split::kTrain), UsageError);
  }
}

TEST(Idx, RefusesDamagedAndBottomlessCompression) {
  const auto good = gzip(idx({4, 2, 3}, counted(24)));
  const std::string name = std::string(kImages) + ".gz";
  const TempFolder folder;
  for (std::size_t size = 0; size < good.size(); ++size) {
    folder.write(name, Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)));
    EXPECT_THROW(open_idx(folder.path(), Split::kTrain), UsageError) << "cut to " << size;
  }
  auto flipped = good;
  flipped[good.size() - 6] ^= 1;  // the checksum
  folder.write(name, flipped);
  EXPECT_THROWS_WITH(open_idx(folder.path(), Split::kTrain), UsageError, "damaged");

  // 64 MB of zeros in 64 kB behind a header for 24 bytes: reading ends there.
  folder.write(name, gzip(idx({4, 2, 3}, Bytes(64 << 20))));
  EXPECT_THROWS_WITH(open_idx(folder.path(), Split::kTrain), UsageError, "more than its header");
  // A header for more than any file of this size can hold is refused before memory is taken.
  folder.write(name, gzip(idx({1u << 30, 100, 100}, Bytes(1000))));
  EXPECT_THROWS_WITH(open_idx(folder.path(), Split::kTrain), UsageError, "more than the file can");
}

TEST(Idx, RefusesWhatShrinksTooMuch) {
  const TempFolder folder;
  const std::string name = std::string(kImages) + ".gz";
  // 128 MiB of zeros in 130 kB.
  auto bytes = idx({128, 1024, 1024}, Bytes(std::size_t{128} << 20));
  folder.write(name, gzip(bytes));
  EXPECT_THROWS_WITH(open_idx(folder.path(), Split::kTrain), UsageError, "holds 128 MiB in");
  // A small one does no harm, and the same plain is what it says.
  folder.write(name, gzip(idx({32, 1024, 1024}, Bytes(std::size_t{32} << 20))));
  EXPECT_EQ(open_idx(folder.path(), Split::kTrain)->size(), 32);
  folder.write(kImages, bytes);
  EXPECT_EQ(open_idx(folder.path(), Split::kTrain)->size(), 128);
}

TEST(Idx, FingerprintIsOfWhatTheFilesHold) {
  const TempFolder folder, other;
  for (const auto* at : {&folder, &other}) {
    at->write(kImages, idx({4, 2, 3}, counted(24)));
    at->write(kLabels, idx({4}, {0, 1, 2, 0}));
  }
  const auto fingerprint = [](const TempFolder& at) { return open_idx(at.path(), Split::kTrain)->fingerprint(); };
  EXPECT_EQ(fingerprint(folder), fingerprint(other));
  auto pixels = counted(24);
  pixels[13] ^= 1;
  other.write(kImages, idx({4, 2, 3}, pixels));
  EXPECT_NE(fingerprint(folder), fingerprint(other)) << "one pixel";
  EXPECT_EQ(open_idx(folder.path(), Split::kTrain)->fingerprint_of_names(),
            open_idx(other.path(), Split::kTrain)->fingerprint_of_names());
  other.write(kImages, idx({4, 3, 2}, counted(24)));
  EXPECT_NE(fingerprint(folder), fingerprint(other)) << "turned";
  other.write(kImages, idx({4, 2, 3}, counted(24)));
  other.write(kLabels, idx({4}, {0, 1, 0, 2}));
  EXPECT_NE(fingerprint(folder), fingerprint(other)) << "two labels";
}

TEST(Idx, RefusesLabelsThatDoNotBelong) {
  const TempFolder folder;
  folder.write(kImages, idx({4, 2, 3}, counted(24)));
  folder.write(kLabels, idx({5}, {0, 1, 2, 3, 4}));
  EXPECT_THROWS_WITH(open_idx(folder.path(), Split::kTrain), UsageError,
                     "4 images and train-labels-idx1-ubyte 5 labels");
  folder.write(kLabels, idx({4}, {0, 1, 2}));
  EXPECT_THROWS_WITH(open_idx(folder.path(), Split::kTrain), UsageError, kLabels);
}

TEST(Idx, OpensFashionMnist) {
  const std::string directory = "/usr/share/datasets/fashion-mnist";
  if (!std::filesystem::exists(directory))
    GTEST_SKIP() << "no " << directory << "; apt-get install dataset-fashion-mnist";
  const auto train = open_idx(directory, Split::kTrain), test = open_idx(directory, Split::kTest);
  EXPECT_EQ(train->size(), 60000);
  EXPECT_EQ(test->size(), 10000);
  std::vector<int> counts(10);
  for (std::int64_t i = 0; i < train->size(); ++i) ++counts.at(static_cast<std::size_t>(train->label(i)));
  EXPECT_EQ(counts, std::vector<int>(10, 6000));
  // The published first labels: ankle boot, T-shirt, T-shirt, dress.
  EXPECT_EQ(train->label(0), 9);
  EXPECT_EQ(train->label(1), 0);
  EXPECT_EQ(train->label(3), 3);
  augment::ImageSource source;
  test->read(9999, source);
  EXPECT_EQ(source.pixels.size(), cv::Size(28, 28));
}

TEST(Idx, TooLittleMemoryIsNoDamage) {
  if (!kLittleMemoryWorks) GTEST_SKIP() << "a sanitizer takes more memory than a limit would allow";
  const TempFolder folder;
  const auto images = idx({2, 2, 3}, counted(12));
  for (const std::string name : {kImages, "train-images-idx3-ubyte.gz"}) {
    folder.write(name, name == kImages ? images : gzip(images));
    const auto open = [&] { open_idx(folder.path(), Split::kTrain); };
    const auto told = limit_error_in(100'000, open);  // zlib's buffers take four times as much
    EXPECT_NE(told.find(name + ": Cannot allocate memory; there is too little memory"), std::string::npos) << told;
    EXPECT_EQ(limit_error_in(4'000'000, open), "(accepted)");
    std::filesystem::remove(folder / name);
  }
}

TEST(Idx, LabelsThatAreALinkToNowhereAreNotLeftOut) {
  const TempFolder folder;
  folder.write("train-images-idx3-ubyte", std::string("\0\0\x08\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01x", 17));
  EXPECT_EQ(open_idx(folder.path(), Split::kTrain)->label(0), -1);
  std::filesystem::create_symlink("nowhere", folder / "train-labels-idx1-ubyte");
  EXPECT_THROWS_WITH(open_idx(folder.path(), Split::kTrain), UsageError, "train-labels-idx1-ubyte, a link to nowhere");
}

}  // namespace
}  // namespace unlabel::data
