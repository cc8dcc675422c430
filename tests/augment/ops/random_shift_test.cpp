#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/random_shift.h>
#include <unlabel/augment/transforms/pipeline.h>

#include "refusal.h"
#include <gtest/gtest.h>
#include <opencv2/core.hpp>

#include <map>
#include <set>
#include <vector>

namespace unlabel::augment {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes counting(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 37 % 251);
  return bytes;
}

TEST(RandomShift, ShiftsEveryImageAsTheTransformDoes) {
  const ImageBatch batch{6, 3, 9, 7};
  const std::size_t image = 3 * 9 * 7;
  const Bytes in = counting(6 * image);
  for (const int pad : {0, 1, 4}) {
    Bytes out(in.size());
    random_shift(in.data(), batch, pad, {5, 2, 100, 1}, out.data());
    for (int i = 0; i < 6; ++i) {
      cv::Mat rgb(9, 7, CV_8UC3);
      for (int y = 0; y < 9; ++y)
        for (int x = 0; x < 7; ++x)
          for (int c = 0; c < 3; ++c) rgb.at<cv::Vec3b>(y, x)[c] = in[i * image + (c * 9 + y) * 7 + x];
      const Pipeline one({RandomShift{pad}, CenterCrop{{9, 7}}});
      std::vector<float> expected(image);
      one(rgb, {5, 2, 100 + static_cast<std::uint64_t>(i), 1}, expected.data());
      for (std::size_t k = 0; k < image; ++k)
        ASSERT_EQ(out[i * image + k] / 255.0f, expected[k]) << "pad " << pad << " image " << i << " at " << k;
    }
  }
}

TEST(RandomShift, TakesFloatsAndManyFrames) {
  const ImageBatch batch{4, 9, 12, 12};
  const Bytes in = counting(4 * 9 * 144);
  const std::vector<float> floats(in.begin(), in.end());
  Bytes bytes(in.size());
  std::vector<float> from_bytes(in.size()), from_floats(in.size());
  random_shift(in.data(), batch, 4, {1, 0, 0, 0}, bytes.data());
  random_shift(in.data(), batch, 4, {1, 0, 0, 0}, from_bytes.data());
  random_shift(floats.data(), batch, 4, {1, 0, 0, 0}, from_floats.data());
  EXPECT_EQ(std::vector<float>(bytes.begin(), bytes.end()), from_bytes);
  EXPECT_EQ(from_bytes, from_floats);
  EXPECT_NE(bytes, in);
  Bytes other(in.size());
  random_shift(in.data(), batch, 4, {1, 1, 0, 0}, other.data());
  EXPECT_NE(other, bytes) << "another step";
  // Wider than the image: its border alone.
  const ImageBatch small{50, 1, 2, 2};
  const Bytes four = counting(200);
  Bytes shifted(200);
  random_shift(four.data(), small, 10, {1, 0, 0, 0}, shifted.data());
  for (int i = 0; i < 50; ++i)
    for (int k = 0; k < 4; ++k) {
      const std::set<std::uint8_t> known(four.begin() + 4 * i, four.begin() + 4 * i + 4);
      EXPECT_TRUE(known.contains(shifted[4 * i + k]));
    }
}

TEST(RandomShift, VisitsEveryPlaceAlike) {
  const ImageBatch batch{25 * 400, 1, 3, 3};
  Bytes in(9 * static_cast<std::size_t>(batch.images));
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::uint8_t>(i % 9);
  Bytes out(in.size());
  random_shift(in.data(), batch, 2, {3, 0, 0, 0}, out.data());
  std::map<Bytes, int> seen;
  for (std::int64_t i = 0; i < batch.images; ++i) ++seen[Bytes(out.begin() + 9 * i, out.begin() + 9 * (i + 1))];
  EXPECT_EQ(seen.size(), 25u);
  for (const auto& [image, count] : seen) EXPECT_NEAR(count, 400, 6 * 20);
}

TEST(RandomShift, SaysWhatIsWrong) {
  std::uint8_t byte = 0;
  const auto of = [&](const ImageBatch& batch, int pad) {
    return refusal([&] { random_shift(&byte, batch, pad, {}, &byte); });
  };
  EXPECT_EQ(of({1, 0, 2, 2}, 1), "random_shift: a batch of 1 x 0 x 2 x 2 has no images");
  EXPECT_EQ(of({1, 1, 2, 2}, -1), "random_shift: pad must be 0 to 65536 pixels, not -1");
  EXPECT_NE(of({1 << 30, 1 << 30, 1 << 30, 1 << 30}, 1), "(accepted)");
  EXPECT_EQ(of({0, 1, 2, 2}, 1), "(accepted)") << "nothing to do";
}

}  // namespace
}  // namespace unlabel::augment
