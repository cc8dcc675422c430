#include <unlabel/eval/knn.h>
#include <unlabel/ssl/group.h>

#include "eval/support.h"
#include "ssl/thread_group.h"
#include <gtest/gtest.h>

namespace unlabel::eval {
namespace {

using testing::blobs;
using testing::make_features;
using testing::tensor_of;

TEST(Knn, AgreesWithThePublishedArithmetic) {
  const auto cases = testing::golden("knn.json");
  ASSERT_EQ(cases.size(), 7u);
  for (const auto& c : cases) {
    const auto train =
        make_features(tensor_of(c["train"], torch::kFloat32), tensor_of(c["train_labels"], torch::kInt64));
    const auto test = make_features(tensor_of(c["test"], torch::kFloat32), tensor_of(c["test_labels"], torch::kInt64));
    KnnOptions options;
    options.k = c["k"].get<std::int64_t>();
    options.temperature = c["temperature"].get<double>();
    const auto result = knn(train, test, options, *ssl::single_process());
    EXPECT_NEAR(result.accuracy, c["expected"]["accuracy"].get<double>(), 1e-12) << c["name"];
    ASSERT_EQ(result.accuracy_top5.has_value(), !c["expected"]["top5"].is_null()) << c["name"];
    if (result.accuracy_top5) {
      EXPECT_NEAR(*result.accuracy_top5, c["expected"]["top5"].get<double>(), 1e-12) << c["name"];
    }
  }
}

TEST(Knn, NamedProtocolsAreThePublishedOnes) {
  const auto train = blobs(300, 8, 3, 1), test = blobs(10, 8, 3, 2);
  const auto run = [&](const std::string& protocol) {
    KnnOptions options;
    options.protocol = protocol;
    return knn(train, test, options, *ssl::single_process());
  };
  EXPECT_EQ(run("dino").k, 20);
  EXPECT_EQ(run("dino").temperature, 0.07);
  EXPECT_EQ(run("instdisc").k, 200);
  EXPECT_EQ(run("instdisc").temperature, 0.07);
  EXPECT_EQ(run("lightly").k, 200);
  EXPECT_EQ(run("lightly").temperature, 0.1);
  EXPECT_EQ(run("dino").protocol, "dino");
  KnnOptions changed;
  changed.k = 5;
  EXPECT_EQ(knn(train, test, changed, *ssl::single_process()).protocol, "custom");
  EXPECT_NE(refusal([&] { run("dinno"); }).find("did you mean 'dino'?"), std::string::npos);
}

TEST(Knn, LowersKToTheTrainingSetAndSaysSo) {
  const auto train = blobs(7, 8, 3, 1), test = blobs(10, 8, 3, 2);
  const auto result = knn(train, test, {}, *ssl::single_process());
  EXPECT_EQ(result.k, 7);
  EXPECT_EQ(result.k_asked, 20);
  EXPECT_EQ(result.protocol, "dino");
  EXPECT_EQ(result.train_images, 7);
  EXPECT_EQ(result.test_images, 10);
}

TEST(Knn, TakesSparseLabelsAndCountsUnseenOnesAsWrong) {
  const auto values = torch::eye(3);
  const auto train = make_features(values, torch::tensor({5, 1000000, 70}, torch::kInt64));
  const auto test =
      make_features(torch::cat({values, values}), torch::tensor({5, 1000000, 70, 6, 70, 2000000}, torch::kInt64));
  KnnOptions options;
  options.k = 1;
  const auto result = knn(train, test, options, *ssl::single_process());
  EXPECT_EQ(result.classes, 3);
  EXPECT_DOUBLE_EQ(result.accuracy, 0.5);
}

TEST(Knn, MatchesClassesByName) {
  const auto values = torch::eye(3);
  const auto train = make_features(values, torch::tensor({0, 1, 2}, torch::kInt64), {"bird", "cat", "dog"});
  // The test folder has no birds, and horses that training never saw: its labels are shifted by one.
  const auto test = make_features(torch::cat({values.narrow(0, 1, 2), values.narrow(0, 1, 1)}),
                                  torch::tensor({0, 1, 2}, torch::kInt64), {"cat", "dog", "horse"});
  KnnOptions options;
  options.k = 1;
  EXPECT_DOUBLE_EQ(knn(train, test, options, *ssl::single_process()).accuracy, 2.0 / 3);
}

TEST(Knn, BreaksTiesByOrderAndBySmallerLabel) {
  // Forty copies of one point, the first of them of class 1: k = 1 must take it, wherever topk would look.
  const auto train_values = torch::ones({40, 4});
  auto train_labels = torch::zeros({40}, torch::kInt64);
  train_labels[0] = 1;
  const auto found = nearest(torch::ones({3, 4}), train_values, 5);
  EXPECT_TRUE(torch::equal(found.index, torch::arange(5).expand({3, 5}))) << found.index;
  const auto test = make_features(torch::ones({2, 4}), torch::tensor({1, 0}, torch::kInt64));
  KnnOptions options;
  options.k = 1;
  EXPECT_DOUBLE_EQ(knn(make_features(train_values, train_labels), test, options, *ssl::single_process()).accuracy, 0.5);
  // Two neighbours of equal weight and of classes 3 and 2: the smaller wins.
  options.k = 2;
  const auto pair = make_features(torch::ones({2, 4}), torch::tensor({3, 2}, torch::kInt64));
  const auto two = make_features(torch::ones({1, 4}), torch::tensor({2}, torch::kInt64));
  EXPECT_DOUBLE_EQ(knn(pair, two, options, *ssl::single_process()).accuracy, 1);
}

TEST(Knn, BlocksDoNotChangeTheNeighbours) {
  // More rows than one block of keys or of queries, with every key twice.
  const auto once = torch::randint(-3, 4, {9000, 6}, at::detail::createCPUGenerator(3), torch::kFloat32) + 0.5;
  const auto keys = torch::cat({once, once});
  const auto queries = torch::randint(-3, 4, {1100, 6}, at::detail::createCPUGenerator(4), torch::kFloat32) + 0.5;
  const auto found = nearest(queries, keys, 30);
  const auto unit = [](const at::Tensor& x) { return x / x.norm(2, 1, true); };
  const auto exact = std::get<0>(unit(queries).mm(unit(keys).t()).sort(1, true)).narrow(1, 0, 30);
  EXPECT_TRUE(torch::allclose(found.similarity, exact, 0, 1e-6));
  const auto distinct = std::get<0>(found.index.sort(1));
  EXPECT_TRUE((distinct.narrow(1, 1, 29) > distinct.narrow(1, 0, 29)).all().item<bool>());
}

TEST(Knn, DoesNotOverflowAtALowTemperature) {
  const auto train = blobs(200, 8, 4, 1, 0.2), test = blobs(50, 8, 4, 2, 0.2);
  KnnOptions options;
  options.temperature = 1e-4;
  EXPECT_DOUBLE_EQ(knn(train, test, options, *ssl::single_process()).accuracy, 1);
}

TEST(Knn, RanksEqualOneRank) {
  const auto train = blobs(333, 16, 7, 1, 2), test = blobs(101, 16, 7, 2, 2);
  const auto one = knn(train, test, {}, *ssl::single_process());
  EXPECT_GT(one.accuracy, 0.3);
  EXPECT_LT(one.accuracy, 1);
  for (const int world : {2, 3}) {
    ssl::testing::run_ranks(world, [&](std::shared_ptr<const ssl::Group> group) {
      const auto result = knn(train, test, {}, *group);
      EXPECT_EQ(result.accuracy, one.accuracy);
      EXPECT_EQ(*result.accuracy_top5, *one.accuracy_top5);
    });
  }
  // Fewer test images than ranks.
  const auto tiny = blobs(1, 16, 7, 2);
  const auto alone = knn(train, tiny, {}, *ssl::single_process());
  ssl::testing::run_ranks(3, [&](std::shared_ptr<const ssl::Group> group) {
    EXPECT_EQ(knn(train, tiny, {}, *group).accuracy, alone.accuracy);
  });
}

TEST(Knn, RefusesWhatItCannotMeasure) {
  const auto train = blobs(20, 4, 2, 1), test = blobs(5, 4, 2, 2);
  const auto& one = *ssl::single_process();
  auto unlabelled = train;
  unlabelled.labels = torch::full({20}, -1, torch::kInt64);
  EXPECT_EQ(refusal([&] { knn(unlabelled, test, {}, one); }),
            "20 of 20 training images have no label, and this measure needs one for each: use a folder with one folder "
            "a class");
  EXPECT_NE(refusal([&] { knn(train, blobs(5, 3, 2, 2), {}, one); }).find("test features 3"), std::string::npos);
  EXPECT_NE(refusal([&] {
              knn(train, make_features(torch::empty({0, 4}), torch::empty({0}, torch::kInt64)), {}, one);
            }).find("no test images"),
            std::string::npos);
  auto broken = test;
  broken.values = test.values.clone();
  broken.values[3][1] = NAN;
  EXPECT_NE(refusal<Error>([&] { knn(train, broken, {}, one); }).find("1 of 5 test"), std::string::npos);
  KnnOptions options;
  options.k = 0;
  EXPECT_NE(refusal([&] { knn(train, test, options, one); }).find("not 0"), std::string::npos);
  options = {};
  options.temperature = 0;
  EXPECT_NE(refusal([&] { knn(train, test, options, one); }).find("positive, not 0"), std::string::npos);
  options = {};
  options.device = "gpu";
  EXPECT_NE(refusal([&] { knn(train, test, options, one); }).find("'gpu'"), std::string::npos);
}

}  // namespace
}  // namespace unlabel::eval
