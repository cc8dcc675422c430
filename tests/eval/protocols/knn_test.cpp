#include <unlabel/eval/protocols.h>
#include <unlabel/eval/protocols/knn.h>
#include <unlabel/ssl/group.h>

#include "eval/support.h"
#include "ssl/thread_group.h"
#include <gtest/gtest.h>

#include <cmath>

namespace unlabel::eval {
namespace {

using testing::blobs;
using testing::make_features;
using testing::tensor_of;

TEST(Knn, AgreesWithThePublishedArithmetic) {
  const auto cases = testing::golden("knn.json");
  ASSERT_EQ(cases.size(), 10u);
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
  const auto run = [&](const std::string& name, const nlohmann::json& k = nullptr) {
    auto protocol = find_protocol("knn", name);
    protocol.options.fields().from_json({{"k", k}}, "test");
    return protocol.run_on_features(protocol.options, train, test, {.group = *ssl::single_process()}).json;
  };
  EXPECT_EQ(run("dino")["k"], 20);
  EXPECT_EQ(run("dino")["temperature"], 0.07);
  EXPECT_EQ(run("instdisc")["k"], 200);
  EXPECT_EQ(run("instdisc")["temperature"], 0.07);
  EXPECT_EQ(run("lightly")["k"], 200);
  EXPECT_EQ(run("lightly")["temperature"], 0.1);
  EXPECT_EQ(run("dino")["protocol"], "dino");
  EXPECT_EQ(run("dino", 5)["protocol"], "custom");
  EXPECT_NE(refusal([&] { run("dinno"); }).find("did you mean 'dino'?"), std::string::npos);
}

TEST(Knn, LowersKToTheTrainingSetAndSaysSo) {
  const auto train = blobs(7, 8, 3, 1), test = blobs(10, 8, 3, 2);
  const auto result = knn(train, test, {}, *ssl::single_process());
  EXPECT_EQ(result.k, 7);
  EXPECT_EQ(result.k_asked, 20);
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
  // Two neighbors of equal weight and of classes 3 and 2: the smaller wins.
  options.k = 2;
  const auto pair = make_features(torch::ones({2, 4}), torch::tensor({3, 2}, torch::kInt64));
  const auto two = make_features(torch::ones({1, 4}), torch::tensor({2}, torch::kInt64));
  EXPECT_DOUBLE_EQ(knn(pair, two, options, *ssl::single_process()).accuracy, 1);
}

TEST(Knn, BlocksDoNotChangeTheNeighbors) {
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

TEST(Knn, AClassWithoutAVoteIsNotAmongTheFirstFive) {
  // Ten classes of one training image each; the test image of class c lies nearest to class c + 1, then c + 2, ...
  const auto train = make_features(torch::eye(10), torch::arange(10));
  std::vector<at::Tensor> rows;
  for (int c = 0; c < 10; ++c) {
    auto row = torch::zeros({10});
    for (int rank = 0; rank < 10; ++rank) row[(c + 1 + rank) % 10] = 10 - rank;
    rows.push_back(row);
  }
  const auto test = make_features(torch::stack(rows), torch::arange(10));
  KnnOptions options;
  for (const int k : {1, 2, 3, 5, 9}) {  // the right class is the farthest: it never votes, whatever its number is
    options.k = k;
    const auto result = knn(train, test, options, *ssl::single_process());
    EXPECT_EQ(result.accuracy, 0) << k;
    EXPECT_EQ(*result.accuracy_top5, 0) << k;
  }
  // As the k-th neighbor of k <= 5 it does.
  auto shifted = test;
  shifted.labels = (test.labels + 3) % 10;
  options.k = 2;
  EXPECT_EQ(*knn(train, shifted, options, *ssl::single_process()).accuracy_top5, 0);
  options.k = 3;
  EXPECT_EQ(*knn(train, shifted, options, *ssl::single_process()).accuracy_top5, 1);
  EXPECT_EQ(knn(train, shifted, options, *ssl::single_process()).accuracy, 0);
}

TEST(Knn, TheOrderOfClassesHoldsAtEveryTemperature) {
  // At temperatures so low that votes are 0 in float64, as at usual ones, the nearest of a class decides its place.
  const auto train = make_features(torch::eye(10), torch::arange(10));
  auto row = torch::zeros({1, 10});
  for (int c = 0; c < 10; ++c) row[0][c] = c + 1;  // class 9 first, then 8, 7, 6, 5
  KnnOptions options;
  options.k = 10;
  for (const double temperature : {1e-300, 1e-30, 1e-5, 0.07, 1e3}) {
    options.temperature = temperature;
    for (const int c : {9, 5, 4, 0}) {
      const auto result =
          knn(train, make_features(row, torch::tensor({c}, torch::kInt64)), options, *ssl::single_process());
      EXPECT_EQ(result.accuracy, c == 9 ? 1 : 0) << temperature << " " << c;
      EXPECT_EQ(*result.accuracy_top5, c >= 5 ? 1 : 0) << temperature << " " << c;
    }
  }
}

TEST(Knn, LengthsOfFeaturesDoNotMatter) {
  const auto train = blobs(300, 16, 7, 1, 2), test = blobs(101, 16, 7, 2, 2);
  const auto usual = knn(train, test, {}, *ssl::single_process());
  for (const double factor : {0x1p-132, 0x1p-100, 0x1p-60, 0x1p60, 0x1p120}) {
    auto scaled = test, scaled_train = train;
    scaled.values = test.values * factor;
    const auto result = knn(train, scaled, {}, *ssl::single_process());
    EXPECT_NEAR(result.accuracy, usual.accuracy, factor < 0x1p-120 ? 0.03 : 0) << factor;  // denormal: fewer digits
    scaled_train.values = train.values * factor;
    EXPECT_NEAR(knn(scaled_train, test, {}, *ssl::single_process()).accuracy, usual.accuracy,
                factor < 0x1p-120 ? 0.03 : 0);
  }
}

TEST(Knn, CollapsedFeaturesAreTold) {
  auto train = blobs(300, 8, 3, 1), test = blobs(60, 8, 3, 2);
  EXPECT_EQ(knn(train, test, {}, *ssl::single_process()).tied, 0);
  for (const double level : {0.0, 1.0}) {
    train.values = torch::full_like(train.values, level);
    test.values = torch::full_like(test.values, level);
    EXPECT_EQ(knn(train, test, {}, *ssl::single_process()).tied, 60) << level;
  }
}

TEST(Knn, ImagesThatAreTiedInEitherWayAreCountedOnce) {
  // Four neighbors: of row 0 all are equally near, and of one class; of row 1 two are nearer than the others, and both classes have
  // equal votes; row 2 is settled.
  Features train, test;
  train.values = torch::tensor({{0.f, 0.f, 1.f},
                                {0.f, 0.f, 1.f},
                                {0.f, 0.f, 1.f},
                                {0.f, 0.f, 1.f},
                                {2.f, 1.f, 0.f},
                                {2.f, -1.f, 0.f},
                                {1.f, 1.f, 0.f},
                                {1.f, -1.f, 0.f}});
  train.labels = torch::tensor({0, 0, 0, 0, 0, 1, 0, 1}, torch::kInt64);
  test.values = torch::tensor({{0.f, 0.f, 1.f}, {1.f, 0.f, 0.f}, {2.f, 1.f, 0.f}});
  test.labels = torch::tensor({0, 0, 0}, torch::kInt64);
  for (auto* features : {&train, &test}) features->indices = torch::arange(features->size());
  KnnOptions options;
  options.k = 4;
  EXPECT_EQ(knn(train, test, options, *ssl::single_process()).tied, 2);
}

TEST(Knn, ClassesThatDoNotMeetAreRefusedAndOthersTold) {
  const auto values = torch::eye(3);
  const auto labels = torch::tensor({0, 1, 2}, torch::kInt64);
  const auto train = make_features(values, labels, {"cat", "dog", "ship"});
  EXPECT_EQ(
      refusal([&] {
        knn(train, make_features(values, labels, {"1", "2", "3"}), {}, *ssl::single_process());
      }),
      "none of the test classes 1, 2, 3 is among the training classes cat, dog, ship; classes are matched by name: "
      "give the folders of test images the names of the training folders");
  // Training images of all classes named, but not of those that are tested.
  const auto named = make_features(values.narrow(0, 0, 1), labels.narrow(0, 0, 1), {"cat", "dog", "ship"});
  EXPECT_NE(refusal([&] {
              knn(named, make_features(values.narrow(0, 1, 2), labels.narrow(0, 1, 2), {"cat", "dog", "ship"}), {},
                  *ssl::single_process());
            }).find("none of the test classes dog, ship is among the training classes cat"),
            std::string::npos);
  const auto more = make_features(torch::cat({values, values}), torch::tensor({0, 1, 2, 3, 4, 3}, torch::kInt64),
                                  {"cat", "dog", "ship", "horse", "zebra"});
  KnnOptions options;
  options.k = 1;
  const auto result = knn(train, more, options, *ssl::single_process());
  EXPECT_EQ(result.unknown.names, (std::vector<std::string>{"horse", "zebra"}));
  EXPECT_EQ(result.unknown.images, 3);
  EXPECT_EQ(result.accuracy, 0.5);
  std::vector<std::string> many;
  for (int i = 0; i < 100; ++i) many.push_back(concat("class", i));
  EXPECT_EQ(shortened(many), "class0, class1, class2, class3, class4, ... (100 in all)");
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
  auto unlabeled = train;
  unlabeled.labels = torch::full({20}, -1, torch::kInt64);
  EXPECT_EQ(
      refusal([&] { knn(unlabeled, test, {}, one); }),
      "20 of 20 training images have no label, and this measurement needs a label for each: use a folder with one "
      "sub-folder per class");
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
  EXPECT_NE(refusal([&] { knn(train, test, options, one); }).find("must be from 1e-300 to 1e+300, not 0"),
            std::string::npos);
  for (const double temperature : {1e-320, -0.1, double(INFINITY), double(NAN)}) {
    options.temperature = temperature;
    EXPECT_NE(refusal([&] { knn(train, test, options, one); }).find("temperature"), std::string::npos) << temperature;
  }
  options = {};
  options.device = "gpu";
  EXPECT_NE(refusal([&] { knn(train, test, options, one); }).find("'gpu'"), std::string::npos);
}

}  // namespace
}  // namespace unlabel::eval
