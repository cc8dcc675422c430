#include <unlabel/data/formats.h>
#include <unlabel/data/sampler.h>
#include <unlabel/eval/labels.h>
#include <unlabel/eval/protocols/linear.h>
#include <unlabel/ssl/group.h>

#include "eval/images.h"
#include "eval/support.h"
#include "ssl/thread_group.h"
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace unlabel::eval {
namespace {

using data::open_dataset;
using data::Split;
using testing::eval_view;
using testing::small_encoder;

class LinearProbe : public ::testing::Test {
 protected:
  void SetUp() override {
    at::set_num_threads(1);  // the tensors are tiny, and the ranks are threads
    testing::write_classes(folder_, "train", 11, 3, 1);
    testing::write_classes(folder_, "test", 5, 3, 50000);
    train_ = open_dataset(folder_.path(), Split::kTrain);
    test_ = open_dataset(folder_.path(), Split::kTest);
    options_.epochs = 4;
    options_.batch_size = 8;
    options_.lr = 3;
  }

  LinearProbeResult run(ssl::Encoder& encoder, const ssl::Group& group,
                        const std::function<void(const LinearProbeEpoch&)>& on_epoch = {}) {
    return linear_probe(encoder, train_, test_, linear_train_view(eval_view()), eval_view(), options_, group, on_epoch);
  }

  data::TempFolder folder_;
  std::shared_ptr<const data::Dataset> train_, test_;
  LinearProbeOptions options_;
  const ssl::Group& one_ = *ssl::single_process();
};

TEST_F(LinearProbe, LearnsAndReportsBestAndLastEpoch) {
  options_.epochs = 12;
  const auto encoder = small_encoder();
  const auto weights = encoder->parameters().front().clone();
  std::vector<LinearProbeEpoch> epochs;
  const auto result = run(*encoder, one_, [&](const LinearProbeEpoch& epoch) { epochs.push_back(epoch); });
  ASSERT_EQ(epochs.size(), 12u);
  EXPECT_LT(epochs.back().loss, 0.8 * epochs.front().loss);
  EXPECT_GT(result.accuracy, 0.5);
  EXPECT_EQ(result.accuracy, epochs[result.best_epoch].accuracy);
  for (const auto& epoch : epochs) EXPECT_LE(epoch.accuracy, result.accuracy);
  EXPECT_EQ(result.last_accuracy, epochs.back().accuracy);
  EXPECT_EQ(result.protocol, "custom");
  EXPECT_EQ(result.lr, 3 * 8.0 / 256);
  EXPECT_TRUE(torch::equal(encoder->parameters().front(), weights));
  EXPECT_FALSE(encoder->parameters().front().grad().defined());
  EXPECT_TRUE(encoder->is_training());
}

TEST_F(LinearProbe, FollowsThePublishedArithmetic) {
  // The same steps, written out, on an unaugmented view: momentum .9, decay, cosine by epoch, a last batch of one image
  // (33 = 4 x 8 + 1).
  options_.weight_decay = 0.01;
  const auto encoder = small_encoder();
  const auto result = linear_probe(*encoder, train_, test_, eval_view(), eval_view(), options_, one_);
  const auto features = extract_features(*encoder, train_, eval_view(), {}, one_);
  const auto dim = features.dim();
  auto weight = torch::zeros({3, dim + 1});
  weight.narrow(1, 0, dim).normal_(0, 0.01, at::detail::createCPUGenerator(options_.seed));
  const auto x = torch::cat({features.values, torch::ones({33, 1})}, 1);
  auto velocity = torch::zeros_like(weight);
  for (int epoch = 0; epoch < 4; ++epoch) {
    const auto lr = 3 * 8.0 / 256 * 0.5 * (1 + std::cos(std::numbers::pi * epoch / 4));
    const data::Permutation order(33, options_.seed, epoch);
    for (int first = 0; first < 33; first += 8) {
      std::vector<std::int64_t> rows;
      for (int i = first; i < std::min(33, first + 8); ++i) rows.push_back(static_cast<std::int64_t>(order(i)));
      const auto index = torch::tensor(rows, torch::kInt64);
      const auto batch = x.index_select(0, index);
      const auto error = batch.mm(weight.t()).softmax(1) - torch::one_hot(features.labels.index_select(0, index), 3);
      velocity = 0.9 * velocity + error.t().mm(batch) / double(rows.size()) + 0.01 * weight;
      weight = weight - lr * velocity;
    }
  }
  EXPECT_TRUE(torch::allclose(result.weight, weight.narrow(1, 0, dim), 1e-3, 1e-4))
      << (result.weight - weight.narrow(1, 0, dim)).abs().max();
  EXPECT_TRUE(torch::allclose(result.bias, weight.select(1, dim), 1e-3, 1e-4));
}

TEST_F(LinearProbe, RanksEqualOneRank) {
  const auto one = run(*small_encoder(), one_);
  std::vector<std::shared_ptr<ssl::Encoder>> encoders{small_encoder(), small_encoder(), small_encoder()};
  for (const int world : {2, 3}) {
    ssl::testing::run_ranks(world, [&](std::shared_ptr<const ssl::Group> group) {
      const auto result = run(*encoders[group->rank()], *group);
      EXPECT_TRUE(torch::allclose(result.weight, one.weight, 1e-3, 1e-4)) << (result.weight - one.weight).abs().max();
      EXPECT_NEAR(result.last_loss, one.last_loss, 1e-4);
      EXPECT_EQ(result.test_images, one.test_images);
    });
  }
}

TEST_F(LinearProbe, IsTheSameAgainAndOtherwiseWithAnotherSeed) {
  const auto encoder = small_encoder();
  torch::manual_seed(1);
  const auto a = run(*encoder, one_);
  torch::manual_seed(2);
  const auto b = run(*encoder, one_);
  EXPECT_TRUE(torch::equal(a.weight, b.weight));
  options_.seed = 1;
  EXPECT_FALSE(torch::equal(run(*encoder, one_).weight, a.weight));
}

TEST_F(LinearProbe, EndsOnEveryRankWhenAnImageIsBroken) {
  folder_.write("train/class1/5.png", std::string("not an image"));
  train_ = open_dataset(folder_.path(), Split::kTrain);
  std::vector<std::shared_ptr<ssl::Encoder>> encoders{small_encoder(), small_encoder()};
  std::vector<std::string> messages(2);
  ssl::testing::run_ranks(2, [&](std::shared_ptr<const ssl::Group> group) {
    messages[group->rank()] = refusal<Error>([&] { run(*encoders[group->rank()], *group); });
  });
  for (const auto& text : messages) EXPECT_NE(text.find("class1/5.png"), std::string::npos) << text;
}

TEST_F(LinearProbe, SaysThatItDiverged) {
  options_.lr = 1e38;
  EXPECT_NE(refusal<Error>([&] { run(*small_encoder(), one_); }).find("diverged"), std::string::npos);
}

TEST(TopKCounts, ScoresThatAreNotFiniteAreWrong) {
  const auto nan = std::nan("");
  const auto scores = torch::tensor({{nan, nan, nan}, {1.0, nan, 0.0}, {1.0, 2.0, 0.0}, {1.0, 1.0, 0.0}});
  const auto hits = count_top_k(scores, torch::tensor({0, 0, 1, 1}));
  EXPECT_EQ(hits.top1, 1);  // of equal scores the first class wins
  EXPECT_EQ(hits.top5, 2);
}

TEST_F(LinearProbe, IsNamedAsPublishedOnlyWithThePublishedSettings) {
  EXPECT_EQ(run(*small_encoder(), one_).protocol, "custom");
  // SwAV's eval_linear.py: --epochs 100 --batch_size 32 on 8 GPUs --lr 0.3 --wd 1e-6, momentum .9, cosine to 0.
  // Given one by one, so that defaults that drift away from them are noticed.
  options_ = {};
  EXPECT_EQ(options_.epochs, 100);
  EXPECT_EQ(options_.batch_size, 256);
  EXPECT_EQ(options_.lr, 0.3);
  EXPECT_EQ(options_.weight_decay, 1e-6);
  EXPECT_EQ(options_.momentum, 0.9);
  options_.features.threads = 0;
  std::vector<double> rates;
  testing::FieldsEncoder encoder;
  const auto result = linear_probe(encoder, train_, test_, eval_view(), eval_view(), options_, one_,
                                   [&](const auto& epoch) { rates.push_back(epoch.lr); });
  EXPECT_EQ(result.protocol, "swav");
  ASSERT_EQ(rates.size(), 100u);
  EXPECT_DOUBLE_EQ(rates[0], 0.3 * 33 / 256);  // of 256 images a step, of which there are 33
  EXPECT_DOUBLE_EQ(rates[50], 0.15 * 33 / 256);
  for (auto change : std::vector<std::function<void(LinearProbeOptions&)>>{[](auto& o) { o.epochs = 1; },
                                                                           [](auto& o) { o.epochs = 1, o.lr = 0.2; }}) {
    options_ = {};
    change(options_);
    EXPECT_EQ(linear_probe(encoder, train_, test_, eval_view(), eval_view(), options_, one_).protocol, "custom");
  }
}

TEST_F(LinearProbe, TrainsOnRandomCropsAndFlips) {
  const auto steps = linear_train_view(augment::preset("eval")).pipeline(0).steps();
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(augment::name(steps[0]), "RandomResizedCrop");
  EXPECT_EQ(augment::name(steps[1]), "RandomHorizontalFlip");
  EXPECT_EQ(augment::name(steps[2]), "Normalize");
}

}  // namespace
}  // namespace unlabel::eval
