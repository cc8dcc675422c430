#include <unlabel/eval/protocols/logistic.h>
#include <unlabel/ssl/group.h>

#include "eval/support.h"
#include "ssl/thread_group.h"
#include <gtest/gtest.h>

namespace unlabel::eval {
namespace {

using testing::blobs;
using testing::make_features;
using testing::tensor_of;

TEST(Logistic, AgreesWithScikitLearn) {
  const auto cases = testing::golden("logistic.json");
  ASSERT_EQ(cases.size(), 3u);
  for (const auto& c : cases) {
    for (const auto type : {torch::kFloat64, torch::kFloat32}) {
      const auto train = make_features(tensor_of(c["train"], type), tensor_of(c["train_labels"], torch::kInt64));
      const auto test = make_features(tensor_of(c["test"], type), tensor_of(c["test_labels"], torch::kInt64));
      LogisticOptions options;
      options.l2 = c["l2"].get<double>();
      const bool wide = type == torch::kFloat64;
      options.tolerance = wide ? 1e-18 : 1e-9;
      const auto result = logistic_regression(train, test, options, *ssl::single_process());
      EXPECT_TRUE(result.converged) << c["name"] << " " << type << " " << result.iterations;
      EXPECT_NEAR(result.loss, c["loss"].get<double>(), wide ? 1e-9 : 1e-6) << c["name"];
      EXPECT_DOUBLE_EQ(result.accuracy, c["accuracy"].get<double>()) << c["name"];
      EXPECT_DOUBLE_EQ(result.train_accuracy, c["train_accuracy"].get<double>()) << c["name"];
      if (!wide) continue;  // its minimum is flat to float32
      const auto weight = tensor_of(c["weight"], type);
      const auto scale = weight.abs().max().item<double>();
      EXPECT_LT((result.weight - weight).abs().max().item<double>(), 1e-5 * scale) << c["name"];
      // The bias that is folded back grows with the features' means; only its differences matter.
      const auto difference = result.bias - tensor_of(c["bias"], type);
      EXPECT_LT((difference - difference.mean()).abs().max().item<double>(), 1e-5) << c["name"];
    }
  }
}

TEST(Logistic, RanksEqualOneRank) {
  const auto train = blobs(331, 12, 4, 1, 2), test = blobs(97, 12, 4, 2, 2);
  auto wide_train = train, wide_test = test;
  wide_train.values = train.values.to(torch::kFloat64);
  wide_test.values = test.values.to(torch::kFloat64);
  const auto one = logistic_regression(wide_train, wide_test, {}, *ssl::single_process());
  for (const int world : {2, 3}) {
    ssl::testing::run_ranks(world, [&](std::shared_ptr<const ssl::Group> group) {
      const auto result = logistic_regression(wide_train, wide_test, {}, *group);
      EXPECT_NEAR(result.loss, one.loss, 1e-12);
      EXPECT_EQ(result.accuracy, one.accuracy);
      EXPECT_EQ(result.iterations, one.iterations);
      EXPECT_TRUE(torch::allclose(result.weight, one.weight, 1e-9, 1e-9));
    });
  }
  // Fewer images than ranks.
  const auto few = blobs(2, 12, 2, 1);
  const auto alone = logistic_regression(few, test, {}, *ssl::single_process());
  ssl::testing::run_ranks(3, [&](std::shared_ptr<const ssl::Group> group) {
    EXPECT_NEAR(logistic_regression(few, test, {}, *group).loss, alone.loss, 1e-5);
  });
}

TEST(Logistic, IsTheSameAgain) {
  const auto train = blobs(500, 20, 6, 1, 2), test = blobs(100, 20, 6, 2, 2);
  const auto a = logistic_regression(train, test, {}, *ssl::single_process());
  const auto b = logistic_regression(train, test, {}, *ssl::single_process());
  EXPECT_TRUE(torch::equal(a.weight, b.weight));
  EXPECT_EQ(a.loss, b.loss);
}

TEST(Logistic, TakesOneClassSparseLabelsAndUnseenOnes) {
  const auto values = blobs(6, 4, 2, 1).values;
  const auto one_class = make_features(values, torch::full({6}, 9, torch::kInt64));
  const auto test = make_features(values, torch::tensor({9, 9, 9, 9, 8, 10}, torch::kInt64));
  const auto result = logistic_regression(one_class, test, {}, *ssl::single_process());
  EXPECT_TRUE(result.converged);
  EXPECT_DOUBLE_EQ(result.accuracy, 4.0 / 6);
  EXPECT_EQ(result.classes, 1);
}

TEST(Logistic, SeparatesWhatAMeanHides) {
  // Features far from zero and of very different scale, one constant.
  auto train = blobs(400, 6, 3, 1, 0.1), test = blobs(100, 6, 3, 2, 0.1);
  for (auto* f : {&train, &test}) {
    f->values = f->values * torch::tensor({1e-4f, 1.f, 1e4f, 1.f, 1.f, 0.f}) +
                torch::tensor({0.f, 1000.f, 0.f, 0.f, -5.f, 3.f});
  }
  const auto result = logistic_regression(train, test, {}, *ssl::single_process());
  EXPECT_TRUE(result.converged);
  EXPECT_DOUBLE_EQ(result.accuracy, 1);
}

TEST(Logistic, SaysWhenItDidNotConverge) {
  LogisticOptions options;
  options.max_iterations = 2;
  const auto result = logistic_regression(blobs(200, 8, 5, 1, 2), blobs(20, 8, 5, 2), options, *ssl::single_process());
  EXPECT_FALSE(result.converged);
  EXPECT_EQ(result.iterations, 2);
}

TEST(Logistic, RefusesWhatItCannotFit) {
  const auto train = blobs(20, 4, 2, 1);
  auto unlabeled = train;
  unlabeled.labels = torch::full({20}, -1, torch::kInt64);
  const auto& one = *ssl::single_process();
  EXPECT_NE(refusal([&] { logistic_regression(train, unlabeled, {}, one); }).find("20 of 20 test images have no label"),
            std::string::npos);
  LogisticOptions options;
  options.l2 = 0;
  EXPECT_NE(refusal([&] { logistic_regression(train, train, options, one); }).find("positive, not 0"),
            std::string::npos);
}

}  // namespace
}  // namespace unlabel::eval
