#include <unlabel/data/formats.h>
#include <unlabel/eval/protocols.h>
#include <unlabel/eval/protocols/knn.h>
#include <unlabel/eval/protocols/linear.h>
#include <unlabel/eval/protocols/logistic.h>
#include <unlabel/eval/protocols/online_knn.h>
#include <unlabel/ssl/group.h>

#include "eval/images.h"
#include "eval/support.h"
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <functional>

namespace unlabel::eval {
namespace {

using data::open_dataset;
using data::Split;
using Measure = std::function<double(std::shared_ptr<const data::Dataset>, std::shared_ptr<const data::Dataset>,
                                     const FeatureOptions&)>;

/// Every way to a figure takes the same decoding to training and test images.
class Decoding : public ::testing::TestWithParam<std::pair<const char*, Measure>> {};

TEST_P(Decoding, TrainingAndTestPhotographsAreTurnedAlike) {
  at::set_num_threads(1);
  const data::TempFolder folder;
  testing::write_photographs(folder, "stored_upright", 12, /*turned=*/false, 1);
  testing::write_photographs(folder, "stored_turned", 12, /*turned=*/true, 1000);
  const auto upright = open_dataset(folder / "stored_upright", Split::kTrain);
  const auto turned = open_dataset(folder / "stored_turned", Split::kTrain);
  const auto& measure = GetParam().second;
  FeatureOptions options;
  options.threads = 0;
  for (const auto& [train, test] : {std::pair(upright, turned), std::pair(turned, upright)}) {
    options.decode.exif_orientation = true;
    EXPECT_EQ(measure(train, test, options), 1);
    options.decode.exif_orientation = false;
    EXPECT_EQ(measure(train, test, options), 0) << "as stored, each class looks like the other";
  }
}

TEST_P(Decoding, TrainingAndTestImagesHaveTheSameLimit) {
  at::set_num_threads(1);
  const data::TempFolder folder;
  testing::write_photographs(folder, "small", 3, /*turned=*/false, 1);
  testing::write_photographs(folder, "large", 3, /*turned=*/false, 1);
  folder.write_image("large/up/large.png", 40, 40);
  folder.write_image("large/down/large.png", 40, 40);
  const auto small = open_dataset(folder / "small", Split::kTrain),
             large = open_dataset(folder / "large", Split::kTrain);
  FeatureOptions options;
  options.threads = 0;
  options.decode.max_pixels = 1000;  // 16 x 16 is below, 40 x 40 above
  EXPECT_NE(refusal<Error>([&] { GetParam().second(small, large, options); }).find("large.png"), std::string::npos);
  EXPECT_NE(refusal<Error>([&] { GetParam().second(large, small, options); }).find("large.png"), std::string::npos);
  options.decode.max_pixels = 1600;
  EXPECT_NO_THROW(GetParam().second(small, large, options));
  EXPECT_NO_THROW(GetParam().second(large, small, options));
}

const auto by_knn = [](auto train, auto test, const FeatureOptions& options) {
  testing::FieldsEncoder encoder;
  const auto& one = *ssl::single_process();
  KnnOptions nearest;
  nearest.k = 5;
  return knn(extract_features(encoder, train, testing::eval_view(), options, one),
             extract_features(encoder, test, testing::eval_view(), options, one), nearest, one)
      .accuracy;
};
const auto by_pixels = [](auto train, auto test, const FeatureOptions& options) {
  const auto& one = *ssl::single_process();
  return logistic_regression(pixel_features(train, testing::eval_view(), options, one),
                             pixel_features(test, testing::eval_view(), options, one), {}, one)
      .accuracy;
};
const auto by_logistic_regression = [](auto train, auto test, const FeatureOptions& options) {
  testing::FieldsEncoder encoder;
  const auto& one = *ssl::single_process();
  return logistic_regression(extract_features(encoder, train, testing::eval_view(), options, one),
                             extract_features(encoder, test, testing::eval_view(), options, one), {}, one)
      .accuracy;
};
const auto by_linear_probe = [](auto train, auto test, const FeatureOptions& options) {
  testing::FieldsEncoder encoder;
  LinearProbeOptions probe;
  probe.epochs = 20;
  probe.batch_size = 8;
  probe.lr = 10;
  probe.features = options;
  return linear_probe(encoder, train, test, linear_train_view(testing::eval_view()), testing::eval_view(), probe,
                      *ssl::single_process())
      .last_accuracy;
};
const auto while_training = [](auto train, auto test, const FeatureOptions& options) {
  testing::FieldsEncoder encoder;
  auto protocol = find_protocol("knn", "dino");
  protocol.options.fields().from_json({{"k", 5}}, "test");
  OnlineKnnOptions online;
  online.features = options;
  const OnlineKnn knn(train, test, testing::eval_view(), protocol, online);
  return knn(encoder, *ssl::single_process()).json["value"].get<double>();
};

INSTANTIATE_TEST_SUITE_P(Protocols, Decoding,
                         ::testing::Values(std::pair<const char*, Measure>("knn", by_knn),
                                           std::pair<const char*, Measure>("pixels", by_pixels),
                                           std::pair<const char*, Measure>("features", by_logistic_regression),
                                           std::pair<const char*, Measure>("swav", by_linear_probe),
                                           std::pair<const char*, Measure>("while_training", while_training)),
                         [](const auto& protocol) { return protocol.param.first; });

}  // namespace
}  // namespace unlabel::eval
