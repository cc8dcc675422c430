#include <unlabel/data/formats.h>
#include <unlabel/eval/protocols/knn.h>
#include <unlabel/eval/protocols/linear.h>
#include <unlabel/eval/protocols/logistic.h>
#include <unlabel/eval/report/embed.h>
#include <unlabel/ssl/group.h>
#include <unlabel/ssl/weights/safetensors.h>

#include "eval/images.h"
#include "eval/support.h"
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace unlabel::eval {
namespace {

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Npy, IsFormatOne) {
  data::TempFolder folder;
  const auto tensor = torch::arange(6, torch::kFloat32).view({3, 2}).t();  // not contiguous
  write_npy(folder / "a.npy", tensor);
  const auto bytes = contents(folder / "a.npy");
  ASSERT_EQ(bytes.size(), 128u + 24);
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  EXPECT_EQ(bytes.substr(8, 2), std::string("\x76\x00", 2));
  EXPECT_EQ(bytes.substr(10, 60), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, ), ");
  EXPECT_EQ(bytes[127], '\n');
  const float expected[] = {0, 2, 4, 1, 3, 5};
  EXPECT_EQ(bytes.substr(128), std::string(reinterpret_cast<const char*>(expected), 24));
}

TEST(Npy, LeavesNothingBehindWhenItFails) {
  data::TempFolder folder;
  EXPECT_NE(refusal<Error>([&] { write_npy(folder / "no/a.npy", torch::zeros({2})); }).find("no/a.npy: No such file"),
            std::string::npos);
  EXPECT_NE(
      refusal([&] { write_npy(folder / "a.npy", torch::zeros({2}, torch::kBool)); }).find("float32, float64 or int64"),
      std::string::npos);
  std::filesystem::create_directory(folder / "b.npy");
  EXPECT_THROW(write_npy(folder / "b.npy", torch::zeros({2})), Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(CiNpy, IsReadByNumpy) {
  const std::string python = [] {
    for (const char* candidate : {UNLABEL_SOURCE_DIR "/.venv/bin/python", "python3"})
      if (std::system(concat(candidate, " -c 'import numpy' > /dev/null 2>&1").c_str()) == 0) return candidate;
    return "";
  }();
  if (python.empty()) GTEST_SKIP() << "no Python with numpy";
  data::TempFolder folder;
  write_npy(folder / "f4.npy", torch::arange(20000, torch::kFloat32).view({100, 200}));
  write_npy(folder / "f8.npy", torch::tensor({1.5, -2.0}, torch::kFloat64));
  write_npy(folder / "i8.npy", torch::tensor({7, -9, 1}, torch::kInt64));
  write_npy(folder / "scalar.npy", torch::tensor(3, torch::kInt64));
  write_npy(folder / "empty.npy", torch::empty({0, 4}));
  folder.write("check.py", std::string_view(R"(
import numpy as n, sys
d = sys.argv[1]
def same(name, expected):
    got = n.load(d + '/' + name)
    assert got.dtype == expected.dtype and got.shape == expected.shape and (got == expected).all(), name
same('f4.npy', n.arange(20000, dtype='<f4').reshape(100, 200))
same('f8.npy', n.array([1.5, -2.0]))
same('i8.npy', n.array([7, -9, 1]))
same('scalar.npy', n.array(3))
same('empty.npy', n.zeros((0, 4), '<f4'))
)"));
  EXPECT_EQ(std::system(concat(python, " ", folder / "check.py", " ", folder.path()).c_str()), 0);
}

TEST(Embed, WritesFeaturesLabelsAndNames) {
  data::TempFolder folder;
  testing::write_classes(folder, "images", 2, 2, 1);
  const auto dataset = data::open_dataset(folder / "images", data::Split::kTrain);
  const auto features = pixel_features(dataset, testing::eval_view(), {}, *ssl::single_process());

  auto paths = write_embeddings(folder / "out.npy", features, *dataset);
  EXPECT_EQ(paths, (std::vector<std::string>{folder / "out.npy", folder / "out.labels.npy", folder / "out.jsonl"}));
  EXPECT_EQ(contents(folder / "out.npy").size(), 128u + 4 * 768 * 4);
  EXPECT_EQ(contents(folder / "out.labels.npy").size(), 128u + 4 * 8);
  EXPECT_EQ(contents(folder / "out.jsonl"), R"({"name":"class0/0.png","label":0,"class":"class0"}
{"name":"class0/1.png","label":0,"class":"class0"}
{"name":"class1/0.png","label":1,"class":"class1"}
{"name":"class1/1.png","label":1,"class":"class1"}
)");

  auto unlabeled = features;
  unlabeled.labels = torch::full_like(features.labels, -1);
  paths = write_embeddings(folder / "out.npy", unlabeled, *dataset);
  EXPECT_EQ(paths, (std::vector<std::string>{folder / "out.npy", folder / "out.jsonl"}));
  EXPECT_FALSE(std::filesystem::exists(folder / "out.labels.npy")) << "labels of other features";

  paths = write_embeddings(folder / "one.safetensors", features, *dataset);
  EXPECT_EQ(paths, (std::vector<std::string>{folder / "one.safetensors", folder / "one.jsonl"}));
  const auto file = ssl::read_safetensors(folder / "one.safetensors");
  ASSERT_EQ(file.tensors.size(), 2u);
  for (const auto& [name, tensor] : file.tensors)
    EXPECT_TRUE(torch::equal(tensor, name == "features" ? features.values : features.labels)) << name;

  EXPECT_NE(refusal([&] { write_embeddings(folder / "out.csv", features, *dataset); }).find("out.csv"),
            std::string::npos);
}

TEST(Embed, ReplacesOnlyWhatEmbeddingsLeft) {
  data::TempFolder folder;
  testing::write_classes(folder, "images", 2, 2, 1);
  const auto dataset = data::open_dataset(folder / "images", data::Split::kTrain);
  const auto features = pixel_features(dataset, testing::eval_view(), {}, *ssl::single_process());
  const auto write = [&](const std::string& name) { return write_embeddings(folder / name, features, *dataset); };
  const auto refused = [&](const std::string& name, const std::string& beside, const std::string& why) {
    const auto before = contents(folder / beside);
    EXPECT_NE(refusal([&] { write(name); }).find(folder / beside + " " + why), std::string::npos) << name;
    EXPECT_EQ(contents(folder / beside), before);
  };
  const std::string foreign = "does not belong to embeddings in ";

  // Files of somebody else, alone or beside features of theirs.
  folder.write("a.jsonl", std::string_view("{\"step\": 1}\n"));
  refused("a.npy", "a.jsonl", foreign);
  refused("a.safetensors", "a.jsonl", foreign);
  folder.write("a.npy", std::string_view("features"));
  refused("a.npy", "a.jsonl", foreign);
  for (const char* line : {"", "{\"name\":\"a.jpg\",\"caption\":\"precious\"}\n", "{\"name\": \"a.jpg\"}\n",
                           "{\"name\":1}\n", "{\"name\":\"a.jpg\"}"}) {
    folder.write("a.jsonl", std::string_view(line));
    refused("a.npy", "a.jsonl", foreign);
  }
  folder.write("b.npy", std::string_view("features"));
  folder.write("b.labels.npy", std::string_view("labels"));
  refused("b.npy", "b.labels.npy", foreign);

  write("c.safetensors");
  write("c.npy");
  EXPECT_EQ(write("c.npy").size(), 3u) << "one's own are replaced";
}

TEST(Report, ResultsAsJsonAndInWords) {
  KnnResult knn;
  knn.accuracy = 0.5;
  knn.protocol = "dino";
  knn.k = 7;
  knn.k_asked = 20;
  knn.temperature = 0.07;
  knn.train_images = 7;
  knn.test_images = 4;
  knn.classes = 2;
  const auto [json, text, warnings] = report(knn);
  EXPECT_EQ(json["metric"], "knn_accuracy");
  EXPECT_EQ(json["value"], 0.5);
  EXPECT_TRUE(json["top5"].is_null());
  EXPECT_EQ(json["protocol"], "dino");
  EXPECT_EQ(json["counts"],
            (nlohmann::json{{"train", 7}, {"test", 4}, {"classes", 2}, {"skipped", 0}, {"unknown", 0}, {"tied", 0}}));
  EXPECT_TRUE(json["seconds"].is_number());
  EXPECT_EQ(text,
            "kNN 50.00 % (dino: k 7 of 20, as there are no more training images, T 0.07; 7 train, 4 test, 2 classes)");

  EXPECT_EQ(warnings, std::vector<std::string>{"k is 7 and not 20, as there are no more training images"});
  knn.unknown = {{"horse"}, 3};
  knn.tied = 4;
  knn.skipped = 2;
  EXPECT_EQ(report(knn).warnings.size(), 4u);
  EXPECT_EQ(report(knn).warnings[0],
            "3 of 4 test images belong to classes without training images (horse) and count as wrong");
  EXPECT_EQ(report(knn).json["unknown_classes"], nlohmann::json::array({"horse"}));
  EXPECT_NE(report(knn).text.find("4 test (3 of classes without training images), 2 classes; 4 tied"),
            std::string::npos);

  LogisticResult logistic;
  logistic.converged = false;
  logistic.classes = 1;
  EXPECT_EQ(report(logistic).warnings.size(), 2u);
  EXPECT_EQ(report(logistic).json["converged"], false);
  EXPECT_NE(report(logistic).text.find("not converged"), std::string::npos);
  LinearProbeResult probe;
  probe.accuracy = 0.9;
  probe.last_accuracy = 0.8;
  probe.best_epoch = 2;
  probe.epochs = 5;
  probe.protocol = "swav";
  EXPECT_EQ(report(probe).json["last_value"], 0.8);
  EXPECT_EQ(report(probe).json["best_epoch"], 2);
  EXPECT_NE(report(probe).text.find("best epoch, 3 of 5; last epoch 80.00 %"), std::string::npos);
}

}  // namespace
}  // namespace unlabel::eval
