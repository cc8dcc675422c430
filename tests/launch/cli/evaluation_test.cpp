#include <unlabel/ssl/weights/safetensors.h>

#include "inject/faults.h"
#include "launch/program.h"
#include <gtest/gtest.h>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <fstream>

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

/// What the documentation shows, on small data: `unlabel pretrain`, then `knn`, `linear`, `embed` and `info` of what it left.
class CiEvaluation : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    make_images(*folder_ / "photos/train", 60, 16, 3, 1);
    make_images(*folder_ / "photos/val", 25, 16, 3, 2);
    run_ = *folder_ / "first";
    const auto outcome = unlabel({"pretrain", "swav", "--data", *folder_ / "photos", "--out", run_, "--epochs", "2",
                                  "--batch-size", "20", "--encoder.width", "4", "--knn.every", "1"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  static void TearDownTestSuite() { delete folder_; }
  static std::string data() { return *folder_ / "photos"; }

  static nlohmann::json measure(const Arguments& arguments) {
    auto all = arguments;
    all.insert(all.end(), {"--json", "-"});
    const auto outcome = unlabel(all);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out, nullptr, false);
  }

  static TemporaryFolder* folder_;
  static std::string run_;
};
TemporaryFolder* CiEvaluation::folder_ = nullptr;
std::string CiEvaluation::run_;

TEST_F(CiEvaluation, MeasuresWhilePretraining) {
  const auto lines = read_lines(run_ + "/metrics.jsonl");
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_FALSE(lines[1].contains("knn_accuracy"));
  for (const int i : {2, 5}) {
    EXPECT_GE(lines[i].at("knn_accuracy").get<double>(), 0);
    EXPECT_LE(lines[i].at("knn_accuracy").get<double>(), 1);
  }
}

TEST_F(CiEvaluation, KnnByEveryProtocol) {
  for (const auto& [protocol, k, temperature] : std::vector<std::tuple<std::string, int, double>>{
           {"dino", 20, 0.07}, {"instdisc", 200, 0.07}, {"lightly", 200, 0.1}}) {
    const auto result = measure({"knn", "--checkpoint", run_, "--data", data(), "--protocol", protocol});
    EXPECT_EQ(result.at("protocol"), protocol);
    EXPECT_EQ(result.at("k").get<int>(), std::min(k, 60)) << result;
    EXPECT_EQ(result.at("temperature").get<double>(), temperature);
    EXPECT_GE(result.at("value").get<double>(), 0);
    EXPECT_LE(result.at("value").get<double>(), 1);
    EXPECT_EQ(result.at("counts").at("train"), 60);
    EXPECT_EQ(result.at("counts").at("test"), 25);
    EXPECT_NE(result.at("data").at("train").get<std::string>().find("/train: 60 images"), std::string::npos) << result;
    EXPECT_NE(result.at("data").at("test").get<std::string>().find("/val: 25 images"), std::string::npos) << result;
    EXPECT_EQ(result.at("size"), 16);
  }
}

TEST_F(CiEvaluation, TheFileAndTheRunAreOneSubject) {
  auto of_run = measure({"knn", "--checkpoint", run_, "--data", data()});
  auto of_file = measure(
      {"knn", "--checkpoint", run_ + "/encoder.safetensors", "--train", data() + "/train", "--test", data() + "/val"});
  EXPECT_EQ(of_run.at("value"), of_file.at("value"));
}

TEST_F(CiEvaluation, UntrainedAndPixelsNeedNoCheckpoint) {
  const auto untrained = measure({"knn", "--untrained", "--encoder.arch", "resnet18", "--encoder.width", "4",
                                  "--encoder.stem", "small", "--data", data()});
  EXPECT_NE(untrained.at("subject").get<std::string>().find("untrained resnet18"), std::string::npos);
  EXPECT_EQ(untrained.at("size"), 16);
  const auto same = measure({"knn", "--untrained", "--checkpoint", run_, "--data", data()});
  EXPECT_NE(same.at("subject").get<std::string>().find("width 4"), std::string::npos);
  // The classes differ in texture: nearest neighbors in pixels tell them apart far better than chance (1/3).
  EXPECT_GT(measure({"knn", "--pixels", "--data", data()}).at("value").get<double>(), 0.6);
}

TEST_F(CiEvaluation, LinearByBothProtocols) {
  const auto features = measure({"linear", "--checkpoint", run_, "--data", data()});
  EXPECT_EQ(features.at("protocol"), "features");
  EXPECT_TRUE(features.at("converged").get<bool>());
  const auto swav =
      measure({"linear", "--checkpoint", run_, "--data", data(), "--protocol", "swav", "--swav.epochs", "2"});
  EXPECT_EQ(swav.at("protocol"), "custom") << "two epochs are not the published protocol";
  EXPECT_EQ(swav.at("epochs"), 2);
  EXPECT_EQ(unlabel({"linear", "--pixels", "--data", data(), "--protocol", "swav"}).exit_code, 2);
  const auto skipping =
      unlabel({"linear", "--checkpoint", run_, "--data", data(), "--protocol", "swav", "--features.broken", "skip"});
  EXPECT_EQ(skipping.exit_code, 2);
  EXPECT_NE(skipping.err.find("repair or remove"), std::string::npos) << skipping.err;
}

TEST_F(CiEvaluation, TwoRanksMeasureWhatOneDoes) {
  const auto one = measure({"knn", "--checkpoint", run_, "--data", data()});
  const std::string file = *folder_ / "two.json";
  for (const auto& outcome : unlabel_ranks(2, {"knn", "--checkpoint", run_, "--data", data(), "--json", file}))
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(nlohmann::json::parse(read_bytes(file)).at("value"), one.at("value"));
}

TEST_F(CiEvaluation, RanksThatDifferEndAlike) {
  const Arguments knn{"knn", "--checkpoint", run_, "--data", data()};
  for (const auto& rank : start_ranks({knn, knn + Arguments{"--k", "5"}})) {
    const auto outcome = rank->wait();
    EXPECT_EQ(outcome.exit_code, 93) << outcome.err;
    EXPECT_NE(outcome.err.find("rank 1 has other settings than rank 0: k 5 and not null"), std::string::npos)
        << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }
}

TEST_F(CiEvaluation, RanksOfOtherCommandsEndAlike) {
  const Arguments knn{"knn", "--checkpoint", run_, "--data", data()};
  for (const auto& rank : start_ranks({{"pretrain", "swav", "--data", data(), "--out", *folder_ / "never"}, knn})) {
    const auto outcome = rank->wait();
    EXPECT_EQ(outcome.exit_code, 93) << outcome.err;
    EXPECT_NE(outcome.err.find("rank 1 has another command than rank 0: \"knn\" and not \"pretrain\""),
              std::string::npos)
        << outcome.err;
  }
  EXPECT_FALSE(fs::exists(*folder_ / "never"));
}

TEST_F(CiEvaluation, WhatFailsOnOneRankAloneIsToldOnAll) {
  const auto expect = [](const std::vector<Arguments>& ranks, const std::string& told) {
    for (const auto& rank : start_ranks(ranks)) {
      const auto outcome = rank->wait();
      EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
      EXPECT_NE(outcome.err.find(told), std::string::npos) << outcome.err;
    }
  };
  const Arguments knn{"knn", "--checkpoint", run_, "--data", data()};
  const auto nowhere = knn + Arguments{"--json", *folder_ / "nowhere/x.json"};
  expect({nowhere, nowhere}, "there is no folder");  // only rank 0 would write there
  expect({knn, {"knn", "--checkpoint", *folder_ / "nowhere", "--data", data()}},
         "rank 1: --checkpoint " + *folder_ / "nowhere" + ": no such file or run folder");
  expect({knn, {"knn", "--checkpoint", run_}}, "rank 1: no training images: give --data");
  const Arguments pretrain{"pretrain", "swav", "--data", data(), "--out", *folder_ / "never"};
  expect({pretrain, pretrain + Arguments{"--recipe", *folder_ / "nowhere.json"}},
         "rank 1: cannot read " + *folder_ / "nowhere.json");
  expect({pretrain, pretrain + Arguments{"--init", *folder_ / "nowhere"}}, "rank 1: --init " + *folder_ / "nowhere");
  expect({pretrain, pretrain + Arguments{"--optimizer.kind", "nope"}}, "rank 1: optimizer.kind: no optimizer 'nope'");
  expect({pretrain + Arguments{"--json", *folder_ / "nowhere/x.json"}, pretrain}, "there is no folder");
  const auto at_once = knn + Arguments{"--timeout", "0"};
  expect({at_once, at_once}, "--timeout must be at least 1 second, not 0");
}

TEST_F(CiEvaluation, RanksOfOtherVersionsEndAlike) {
  // This program, and one that calls itself 0.1.Z.
  const std::string program = UNLABEL_BINARY_DIR "/unlabel", other = *folder_ / "other";
  const auto text = unlabel({"--version"}).out;
  const auto begin = std::string("unlabel ").size();
  const auto version = '\0' + text.substr(begin, text.find(' ', begin) - begin) + '\0';
  auto bytes = read_bytes(program);
  int found = 0;
  for (std::size_t at = 0; (at = bytes.find(version, at)) != std::string::npos; ++found)
    bytes[at + version.size() - 2] = 'Z', at += version.size();
  ASSERT_GT(found, 0);
  std::ofstream(other, std::ios::binary) << bytes;
  fs::permissions(other, fs::perms::owner_all);
  for (const Arguments& arguments :
       {Arguments{"knn", "--checkpoint", run_, "--data", data()},
        Arguments{"pretrain", "swav", "--data", data(), "--out", *folder_ / "never", "--encoder.width", "4"}})
    for (const auto& rank : start_ranks({arguments, arguments}, {}, {program, other})) {
      const auto outcome = rank->wait();
      EXPECT_EQ(outcome.exit_code, 93) << outcome.err;
      EXPECT_NE(outcome.err.find("rank 1 has another version of the program than rank 0"), std::string::npos)
          << outcome.err;
    }
  EXPECT_FALSE(fs::exists(*folder_ / "never"));
}

TEST_F(CiEvaluation, TwelveBitsInSixteenAreTold) {
  for (int i = 0; i < 24; ++i) {
    cv::Mat image(16, 16, CV_16UC1);
    cv::RNG(static_cast<std::uint64_t>(i + 1)).fill(image, cv::RNG::UNIFORM, 0, 4096);
    fs::create_directories(*folder_ / "deep");
    cv::imwrite(*folder_ / "deep/" + std::to_string(i) + ".png", image);
  }
  const auto told = [](const nlohmann::json& result) {
    return std::ranges::count_if(result.at("warnings"), [](const std::string& warning) {
      return warning.starts_with("16-bit images use 1/16 of their levels or less");
    });
  };
  const Arguments embed{"embed",  "--pixels",        "--size", "16",
                        "--data", *folder_ / "deep", "--out",  *folder_ / "deep.npy"};
  EXPECT_EQ(told(measure(embed)), 1);
  EXPECT_EQ(told(measure(embed + Arguments{"--decode.range", "0,4095"})), 0);
  const Arguments train{"pretrain", "swav",        "--data", *folder_ / "deep", "--batch-size",
                        "8",        "--max-steps", "1",      "--encoder.width", "4"};
  EXPECT_EQ(told(measure(train + Arguments{"--out", *folder_ / "deep_run"})), 1);
  EXPECT_EQ(told(measure(train + Arguments{"--out", *folder_ / "deep_run_in_range", "--decode.range", "0,4095"})), 0);
}

TEST_F(CiEvaluation, RankZeroWritesForAsLongAsItTakes) {
  const auto outcomes = unlabel_ranks(
      2, {"embed", "--pixels", "--size", "16", "--data", data(), "--out", *folder_ / "slow.npy", "--timeout", "2"},
      inject::variables({{.call = "fsync", .path = "slow.npy", .count = 1, .delay_milliseconds = 4000}}));
  for (const auto& outcome : outcomes) EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(fs::exists(*folder_ / "slow.npy"));
}

TEST_F(CiEvaluation, DoubtsStandBesideTheFigure) {
  fs::create_directories(*folder_ / "more");
  for (const char* name : {"class0", "class1", "class9"})
    fs::create_directory_symlink(data() + "/train/" + (std::string(name) == "class9" ? "class2" : name),
                                 *folder_ / "more/" + name);
  const auto outcome = unlabel({"knn", "--checkpoint", run_, "--train", data() + "/train", "--test", *folder_ / "more",
                                "--json", *folder_ / "doubtful.json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("60 test (20 of classes without training images)"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("; 60 of 60 compared test images are training images"), std::string::npos) << outcome.out;
  const auto result = nlohmann::json::parse(read_bytes(*folder_ / "doubtful.json"));
  EXPECT_EQ(result.at("counts").at("unknown"), 20);
  EXPECT_EQ(result.at("counts").at("shared"), 60);
  EXPECT_EQ(result.at("unknown_classes"), nlohmann::json::array({"class9"}));
  EXPECT_EQ(result.at("warnings").size(), 2u) << result;
}

TEST_F(CiEvaluation, EmbedWritesFeaturesInOrder) {
  const std::string file = *folder_ / "photos.safetensors";
  const auto result = measure({"embed", "--checkpoint", run_, "--data", data() + "/val", "--out", file});
  EXPECT_EQ(result.at("images"), 25);
  EXPECT_EQ(result.at("dim"), 32);
  for (const auto& [name, tensor] : ssl::read_safetensors(file).tensors)
    EXPECT_EQ(tensor.sizes(),
              name == "features" ? (std::vector<std::int64_t>{25, 32}) : (std::vector<std::int64_t>{25}))
        << name;
  EXPECT_EQ(
      unlabel({"embed", "--checkpoint", run_, "--data", data() + "/val", "--out", *folder_ / "photos.npy"}).exit_code,
      0);
  EXPECT_TRUE(fs::exists(*folder_ / "photos.npy"));
}

TEST_F(CiEvaluation, InfoTellsWhatARunHolds) {
  const auto outcome = unlabel({"info", run_, "--json", "-"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto info = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(info.at("finished"), true);
  EXPECT_EQ(info.at("newest_checkpoint"), 6);
  EXPECT_EQ(info.at("encoder").at("metadata").at("width"), "4");
}

TEST_F(CiEvaluation, TestImagesAreNeverTheTrainingOnes) {
  auto outcome = unlabel({"embed", "--checkpoint", run_, "--test", data(), "--out", *folder_ / "test.npy"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("/val"), std::string::npos) << outcome.out;
  fs::create_directories(*folder_ / "only");
  fs::create_directory_symlink(data() + "/train", *folder_ / "only/train");
  outcome = unlabel({"knn", "--checkpoint", run_, "--train", data(), "--test", *folder_ / "only"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("no test/ or val/"), std::string::npos) << outcome.err;
}

TEST_F(CiEvaluation, TurnsPhotosAsTheRunDid) {
  // One photo stored on its side, with EXIF orientation 6, and the same one stored upright.
  cv::Mat upright(24, 16, CV_8UC3, cv::Scalar(30, 60, 90)), lying;
  cv::rectangle(upright, {0, 0, 16, 12}, {200, 150, 20}, cv::FILLED);
  cv::rotate(upright, lying, cv::ROTATE_90_COUNTERCLOCKWISE);
  const auto write = [&](const std::string& name, const cv::Mat& image, bool turned) {
    std::vector<unsigned char> bytes;
    cv::imencode(".jpg", image, bytes, {cv::IMWRITE_JPEG_QUALITY, 100});
    const std::string exif(
        "\xff\xe1\x00\x22"
        "Exif\0\0"
        "MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
        36);
    std::string file(bytes.begin(), bytes.end());
    if (turned) file.insert(2, exif);
    fs::create_directories(fs::path(name).parent_path());
    std::ofstream(name, std::ios::binary) << file;
  };
  write(*folder_ / "phone/lying.jpg", lying, true);
  write(*folder_ / "phone/upright.jpg", upright, false);
  const auto distance = [&](const Arguments& more) {
    const std::string out = *folder_ / "phone.safetensors";
    Arguments arguments{"embed", "--checkpoint", run_, "--data", *folder_ / "phone", "--out", out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto outcome = unlabel(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    for (const auto& [name, tensor] : ssl::read_safetensors(out).tensors)
      if (name == "features") return (tensor[0] - tensor[1]).norm().item<double>() / tensor[1].norm().item<double>();
    return -1.0;
  };
  // What is given of the section reaches every way to a figure.
  for (const Arguments& command :
       {Arguments{"knn"}, {"linear"}, {"linear", "--protocol", "swav", "--swav.epochs", "1"}}) {
    const auto outcome =
        unlabel(command + Arguments{"--checkpoint", run_, "--data", data(), "--decode.max-pixels", "100"});
    EXPECT_EQ(outcome.exit_code, 1) << outcome.err;
    EXPECT_NE(outcome.err.find("image too large"), std::string::npos) << outcome.err;
  }
  const double as_stored = distance({}), turned = distance({"--exif-orientation", "true"});
  EXPECT_GT(as_stored, 0.02);
  EXPECT_LT(turned, as_stored / 5);
}

TEST_F(CiEvaluation, RefusesWhatCannotBeMeasured) {
  make_images(*folder_ / "plain/train", 8, 16, 0);
  make_images(*folder_ / "plain/test", 8, 16, 0);
  auto outcome = unlabel({"knn", "--checkpoint", run_, "--data", *folder_ / "plain"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("label"), std::string::npos) << outcome.err;
  EXPECT_TRUE(outcome.one_line()) << outcome.err;
  // What the features would be written to is looked at before they are made.
  outcome = unlabel({"embed", "--checkpoint", run_, "--data", data(), "--out", *folder_ / "features.csv"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find(".npy or a .safetensors"), std::string::npos) << outcome.err;

  auto weights = ssl::read_safetensors(run_ + "/encoder.safetensors");
  std::ranges::find_if(weights.tensors, [](const auto& item) {
    return item.second.is_floating_point();
  })->second.fill_(NAN);
  ssl::write_safetensors(*folder_ / "nan.safetensors", weights);
  for (const Arguments& command : {Arguments{"knn"}, {"embed", "--out", *folder_ / "nan.npy"}}) {
    outcome = unlabel(command + Arguments{"--checkpoint", *folder_ / "nan.safetensors", "--data", data()});
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_NE(outcome.err.find("are not finite"), std::string::npos) << outcome.err;
  }
  outcome = unlabel({"info", *folder_ / "nan.safetensors", "--json", "-"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(nlohmann::json::parse(outcome.out).at("warnings").dump().find("are not finite"), std::string::npos);

  // Another network, whose tensors are ResNet's and more; and one of gray images.
  weights = ssl::read_safetensors(run_ + "/encoder.safetensors");
  weights.tensors.emplace_back("layer1.0.se.fc1.weight", torch::ones({2}));
  ssl::write_safetensors(*folder_ / "se.safetensors", weights);
  weights = ssl::read_safetensors(run_ + "/encoder.safetensors");
  weights.metadata.clear();
  for (auto& [name, tensor] : weights.tensors)
    if (name == "conv1.weight") tensor = tensor.sum(1, /*keepdim=*/true);
  ssl::write_safetensors(*folder_ / "gray.safetensors", weights);
  for (const auto& [file, code, says] : {std::tuple{"se.safetensors", 93, "are of another network: a resnet18"},
                                         {"gray.safetensors", 2, "of 1 channel"}})
    for (const Arguments& command : {Arguments{"knn"}, {"embed", "--out", *folder_ / "other.npy"}}) {
      outcome = unlabel(command + Arguments{"--checkpoint", *folder_ / file, "--data", data()});
      EXPECT_EQ(outcome.exit_code, code) << outcome.err;
      EXPECT_NE(outcome.err.find(says), std::string::npos) << outcome.err;
      EXPECT_TRUE(outcome.one_line()) << outcome.err;
    }

  outcome = unlabel({"knn", "--checkpoint", run_, "--encoder.arch", "resnet50", "--data", data()});
  EXPECT_EQ(outcome.exit_code, 93) << outcome.err;
  EXPECT_TRUE(outcome.one_line()) << outcome.err;

  fs::copy_file(run_ + "/encoder.safetensors", *folder_ / "cut.safetensors");
  fs::resize_file(*folder_ / "cut.safetensors", 1000);
  outcome = unlabel({"knn", "--checkpoint", *folder_ / "cut.safetensors", "--data", data()});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("cut.safetensors"), std::string::npos) << outcome.err;
  EXPECT_TRUE(outcome.one_line()) << outcome.err;

  fs::resize_file(*folder_ / "photos/val/class1/00001.png", 60);
  outcome = unlabel({"knn", "--checkpoint", run_, "--data", data()});
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_NE(outcome.err.find("00001.png"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace unlabel::launch
