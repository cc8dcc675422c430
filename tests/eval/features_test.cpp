#include <unlabel/data/formats.h>
#include <unlabel/eval/features.h>
#include <unlabel/eval/protocols.h>
#include <unlabel/eval/protocols/knn.h>
#include <unlabel/eval/protocols/linear.h>
#include <unlabel/eval/protocols/logistic.h>
#include <unlabel/eval/protocols/online_knn.h>
#include <unlabel/ssl/group.h>

#include "eval/images.h"
#include "eval/support.h"
#include "ssl/thread_group.h"
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>

namespace unlabel::eval {
namespace {

using data::open_dataset;
using data::Split;
using data::TempFolder;
using testing::eval_view;
using testing::small_encoder;
using testing::write_classes;

class FeaturesOfImages : public ::testing::Test {
 protected:
  void SetUp() override {
    at::set_num_threads(1);  // the tensors are tiny, and the ranks are threads
    write_classes(folder_, "train", 13, 3, 1);
    write_classes(folder_, "test", 5, 3, 50000);
    train_ = open_dataset(folder_.path(), Split::kTrain);
    test_ = open_dataset(folder_.path(), Split::kTest);
  }

  FeatureOptions batches_of(std::int64_t size) const {
    FeatureOptions options;
    options.batch_size = size;
    return options;
  }

  TempFolder folder_;
  std::shared_ptr<const data::Dataset> train_, test_;
  const ssl::Group& one_ = *ssl::single_process();
};

TEST_F(FeaturesOfImages, GoTheWholeWayFromFilesToFigures) {
  const auto encoder = small_encoder();
  const auto train = extract_features(*encoder, train_, eval_view(), {}, one_);
  const auto test = extract_features(*encoder, test_, eval_view(), {}, one_);
  EXPECT_EQ(train.values.sizes(), (std::vector<std::int64_t>{39, encoder->feature_dim()}));
  EXPECT_EQ(train.values.scalar_type(), torch::kFloat32);
  EXPECT_EQ(train.class_names, (std::vector<std::string>{"class0", "class1", "class2"}));
  EXPECT_EQ(train.labels[38].item<int>(), 2);
  EXPECT_FALSE(train.values.requires_grad());
  const auto neighbors = knn(train, test, {}, one_);
  EXPECT_EQ(neighbors.train_images, 39);
  EXPECT_GT(neighbors.accuracy, 0.5);
  const auto linear = logistic_regression(train, test, {}, one_);
  EXPECT_TRUE(linear.converged);
  EXPECT_GT(linear.accuracy, 0.5);
}

TEST_F(FeaturesOfImages, AreTheEncodersInEvalMode) {
  const auto encoder = small_encoder();
  const auto features = extract_features(*encoder, train_, eval_view(), {}, one_, {0, 7});
  EXPECT_TRUE(torch::equal(features.indices, torch::tensor({0, 7}, torch::kInt64)));
  auto images = torch::empty({2, 3, 16, 16});
  augment::ImageSource source;
  for (int i = 0; i < 2; ++i) {
    train_->read(i == 0 ? 0 : 7, source);
    float* out[] = {images[i].data_ptr<float>()};
    eval_view()(source, {}, out);
  }
  encoder->eval();
  EXPECT_TRUE(torch::allclose(features.values, encoder->forward(images), 1e-5, 1e-6));
}

TEST_F(FeaturesOfImages, DoNotDependOnTheBatchOrTheThreads) {
  const auto encoder = small_encoder();
  const auto whole = extract_features(*encoder, train_, eval_view(), batches_of(64), one_);
  auto options = batches_of(5);
  options.threads = 0;
  const auto parts = extract_features(*encoder, train_, eval_view(), options, one_);
  EXPECT_TRUE(torch::allclose(whole.values, parts.values, 1e-5, 1e-6));
  EXPECT_TRUE(torch::equal(whole.labels, parts.labels));
}

TEST_F(FeaturesOfImages, LeaveModesAndRandomStateAlone) {
  const auto encoder = small_encoder();
  encoder->children().front()->eval();
  std::vector<bool> before, after;
  for (const auto& module : encoder->modules()) before.push_back(module->is_training());
  torch::manual_seed(5);
  const auto expected = torch::rand({3});
  torch::manual_seed(5);
  const auto buffers_before = encoder->buffers().front().clone();
  OnlineKnnOptions options;
  options.train_images = 20;
  options.test_images = 6;
  const OnlineKnn online(train_, test_, eval_view(), find_protocol("knn", "dino"), options);
  const auto result = online(*encoder, one_);
  EXPECT_EQ(result.json["counts"]["train"], 20);
  EXPECT_EQ(result.json["counts"]["test"], 6);
  EXPECT_TRUE(torch::equal(torch::rand({3}), expected));
  EXPECT_TRUE(torch::equal(encoder->buffers().front(), buffers_before));
  for (const auto& module : encoder->modules()) after.push_back(module->is_training());
  EXPECT_EQ(before, after);
  EXPECT_TRUE(encoder->is_training());
  EXPECT_EQ(online(*encoder, one_).json["value"], result.json["value"]);
}

TEST_F(FeaturesOfImages, OfSeveralRanksEqualThoseOfOne) {
  const auto one = extract_features(*small_encoder(), train_, eval_view(), batches_of(8), one_);
  std::vector<std::shared_ptr<ssl::Encoder>> encoders;
  for (int rank = 0; rank < 3; ++rank) encoders.push_back(small_encoder());
  for (const int world : {2, 3}) {
    for (const std::int64_t samples : {39, 2}) {
      ssl::testing::run_ranks(world, [&](std::shared_ptr<const ssl::Group> group) {
        const auto features = extract_features(*encoders[group->rank()], train_, eval_view(), batches_of(8), *group,
                                               choose_samples(samples, samples));
        EXPECT_EQ(features.size(), samples);
        EXPECT_TRUE(torch::allclose(features.values, one.values.narrow(0, 0, samples), 1e-5, 1e-6));
        EXPECT_TRUE(torch::equal(features.labels, one.labels.narrow(0, 0, samples)));
      });
    }
  }
}

TEST_F(FeaturesOfImages, InBf16AreNearThoseInFloat32) {
  const auto encoder = small_encoder();
  auto options = batches_of(8);
  const auto exact = extract_features(*encoder, test_, eval_view(), options, one_);
  options.precision = "bf16";
  const auto half = extract_features(*encoder, test_, eval_view(), options, one_);
  EXPECT_EQ(half.values.scalar_type(), torch::kFloat32);
  EXPECT_FALSE(torch::equal(half.values, exact.values));
  EXPECT_LT((half.values - exact.values).norm().item<double>(), 0.05 * exact.values.norm().item<double>());
  options.precision = "half";
  EXPECT_NE(refusal([&] { extract_features(*encoder, test_, eval_view(), options, one_); }).find("'half'"),
            std::string::npos);
}

TEST_F(FeaturesOfImages, ThatAreBrokenEndTheWorkOnEveryRankOrAreLeftOut) {
  folder_.write("train/class1/5.png", std::string("not an image"));
  folder_.write("train/class2/0.png", std::string("nor this"));
  const auto dataset = open_dataset(folder_.path(), Split::kTrain);
  const auto encoder = small_encoder();
  const auto why = refusal<Error>([&] { extract_features(*encoder, dataset, eval_view(), {}, one_); });
  EXPECT_NE(why.find("class1/5.png"), std::string::npos) << why;
  EXPECT_TRUE(encoder->is_training());

  auto options = batches_of(4);
  std::vector<std::shared_ptr<ssl::Encoder>> encoders{small_encoder(), small_encoder(), small_encoder()};
  std::vector<std::string> messages(3);
  ssl::testing::run_ranks(3, [&](std::shared_ptr<const ssl::Group> group) {
    messages[group->rank()] =
        refusal<Error>([&] { extract_features(*encoders[group->rank()], dataset, eval_view(), options, *group); });
  });
  for (const auto& text : messages) EXPECT_NE(text.find("class1/5.png"), std::string::npos) << text;

  options.broken = "skip";
  const auto kept = extract_features(*encoder, dataset, eval_view(), options, one_);
  EXPECT_EQ(kept.size(), 37);
  EXPECT_EQ(kept.skipped, 2);
  EXPECT_EQ(kept.labels.eq(1).sum().item<int>(), 12);
  EXPECT_EQ(kept.indices.eq(21).sum().item<int>(), 0);  // 0 1 10 11 12 2 3 4 5: names in byte order
  EXPECT_EQ(kept.indices.eq(26).sum().item<int>(), 0);
  ssl::testing::run_ranks(2, [&](std::shared_ptr<const ssl::Group> group) {
    const auto features = extract_features(*encoders[group->rank()], dataset, eval_view(), options, *group);
    EXPECT_TRUE(torch::equal(features.indices, kept.indices));
    EXPECT_TRUE(torch::allclose(features.values, kept.values, 1e-5, 1e-6));
  });
}

TEST_F(FeaturesOfImages, OfPixelsAreTheView) {
  auto train = pixel_features(train_, eval_view(), {}, one_);
  auto test = pixel_features(test_, eval_view(), {}, one_);
  EXPECT_EQ(train.dim(), 3 * 16 * 16);
  std::vector<float> out(3 * 16 * 16);
  augment::ImageSource source;
  train_->read(20, source);
  float* views[] = {out.data()};
  eval_view()(source, {}, views);
  EXPECT_TRUE(torch::equal(train.values[20], torch::tensor(out)));
  const auto difference = test.values[0] - train.values[0];
  center(train, test);
  EXPECT_LT(train.values.mean(0).abs().max().item<double>(), 1e-5);
  EXPECT_TRUE(torch::allclose(test.values[0] - train.values[0], difference, 1e-4, 1e-5));
}

TEST_F(FeaturesOfImages, OfUnlabelledFoldersAreRefusedByMeasures) {
  TempFolder plain;
  for (int i = 0; i < 4; ++i) plain.write_image(std::to_string(i) + ".png", 16, 16, i);
  const auto dataset = open_dataset(plain.path(), Split::kTrain);
  const auto features = extract_features(*small_encoder(), dataset, eval_view(), {}, one_);
  EXPECT_EQ(features.size(), 4);
  EXPECT_NE(refusal([&] { knn(features, features, {}, one_); }).find("4 of 4 training images have no label"),
            std::string::npos);
  EXPECT_NE(
      refusal([&] { OnlineKnn(dataset, test_, eval_view(), find_protocol("knn", "dino")); }).find("have no label"),
      std::string::npos);
  EXPECT_NE(refusal([&] {
              linear_probe(*small_encoder(), train_, dataset, linear_train_view(eval_view()), eval_view(), {}, one_);
            }).find("4 of 4 test images have no label"),
            std::string::npos);
}

TEST_F(FeaturesOfImages, ThatAreNotFiniteAreRefusedOnEveryRank) {
  // Also where nothing measures them, as when they are only written.
  std::vector<std::shared_ptr<ssl::Encoder>> encoders{small_encoder(), small_encoder()};
  for (const auto& encoder : encoders) {
    const torch::NoGradGuard no_grad;
    encoder->parameters().back().fill_(NAN);
  }
  ssl::testing::run_ranks(2, [&](std::shared_ptr<const ssl::Group> group) {
    EXPECT_NE(refusal<Error>([&] {
                extract_features(*encoders[static_cast<std::size_t>(group->rank())], train_, eval_view(), {}, *group);
              }).find("features of 39 of 39 images are not finite"),
              std::string::npos);
  });
}

TEST_F(FeaturesOfImages, NeedOneView) {
  EXPECT_NE(
      refusal([&] { extract_features(*small_encoder(), train_, augment::preset("swav"), {}, one_); }).find("makes 8"),
      std::string::npos);
}

TEST(ChooseSamples, DrawsWithoutReplacement) {
  EXPECT_EQ(choose_samples(3, 10), (std::vector<std::int64_t>{0, 1, 2}));
  const auto some = choose_samples(1000, 100);
  EXPECT_EQ(some.size(), 100u);
  EXPECT_EQ(std::adjacent_find(some.begin(), some.end(), std::greater_equal<>()), some.end());
  EXPECT_GT(some.back(), 900);
  EXPECT_LT(some.front(), 100);
  EXPECT_EQ(some, choose_samples(1000, 100));
}

// What the reference arithmetic in PyTorch gives for the same pixels: kNN .8605.
TEST(SlowFashionMnist, RawPixelsGiveTheKnownFigures) {
  const std::string folder = "/usr/share/datasets/fashion-mnist";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "the package dataset-fashion-mnist is not installed";
  const augment::MultiCrop view(
      {{1, augment::Pipeline({augment::Resize{{28}}, augment::CenterCrop{{28}}, augment::Grayscale{}})}});
  const auto& one = *ssl::single_process();
  auto train = pixel_features(open_dataset("idx:" + folder, Split::kTrain), view, {}, one);
  auto test = pixel_features(open_dataset("idx:" + folder, Split::kTest), view, {}, one);
  ASSERT_EQ(train.values.sizes(), (std::vector<std::int64_t>{60000, 784}));
  const auto linear = logistic_regression(train, test, {}, one);
  EXPECT_TRUE(linear.converged);
  EXPECT_NEAR(linear.accuracy, 0.848, 0.003);
  RecordProperty("linear", std::to_string(linear.accuracy));
  RecordProperty("iterations", std::to_string(linear.iterations));
  RecordProperty("linear_seconds", std::to_string(linear.seconds));
  center(train, test);
  const auto neighbors = knn(train, test, {}, one);
  EXPECT_NEAR(neighbors.accuracy, 0.8605, 0.0005);
  RecordProperty("knn", std::to_string(neighbors.accuracy));
  RecordProperty("knn_seconds", std::to_string(neighbors.seconds));
}

}  // namespace
}  // namespace unlabel::eval
