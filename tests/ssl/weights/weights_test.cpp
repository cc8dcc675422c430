#include <unlabel/augment/error.h>
#include <unlabel/ssl/layers/batch_norm.h>
#include <unlabel/ssl/optim/autocast.h>
#include <unlabel/ssl/weights/weights.h>

#include "refusal.h"
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <torch/types.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

namespace unlabel::ssl::weights_test {
namespace {

namespace fs = std::filesystem;

const std::string kGolden = UNLABEL_SOURCE_DIR "/tests/golden/";
const EncoderOptions kTiny{.arch = "resnet18", .width = 2, .stem = "small"};

class Weights : public ::testing::Test {
 protected:
  Weights() : folder_(fs::temp_directory_path() / concat("unlabel_weights_", ::getpid())) {
    fs::create_directories(folder_);
  }
  ~Weights() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  fs::path folder_;
};

NamedTensors copy_of(const torch::nn::Module& module, const std::string& prefix = "") {
  NamedTensors copy;
  for (const auto& [name, tensor] : state_of(module)) copy.emplace_back(prefix + name, tensor.detach().clone());
  return copy;
}

bool equal(const torch::nn::Module& module, const NamedTensors& expected) {
  const auto state = state_of(module);
  if (state.size() != expected.size()) return false;
  for (std::size_t i = 0; i < state.size(); ++i) {
    if (!state[i].second.equal(expected[i].second)) return false;
  }
  return true;
}

TEST_F(Weights, LoadingKeepsMemoryAndStrides) {
  torch::manual_seed(1);
  const auto from = copy_of(*make_encoder(kTiny));
  const auto encoder = make_encoder(kTiny);
  to_channels_last(*encoder);
  const auto before = encoder->named_parameters()["layer1.0.conv1.weight"];
  const auto* memory = before.data_ptr();
  EXPECT_FALSE(equal(*encoder, from));
  const auto report = load_state(*encoder, from, {.strict = true});
  EXPECT_TRUE(equal(*encoder, from));
  EXPECT_EQ(before.data_ptr(), memory);
  EXPECT_TRUE(before.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(before.requires_grad());
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(report.summary(), "120 tensors loaded; 0 missing, 0 unexpected, 0 of a wrong shape, 0 ignored");
  EXPECT_EQ(report.detail(), "");
}

TEST_F(Weights, WrappersOfNamesAreTakenOff) {
  for (const std::string prefix :
       {"module.", "backbone.", "encoder.", "module.backbone.", "module.encoder.", "module.module."}) {
    torch::manual_seed(1);
    auto from = copy_of(*make_encoder(kTiny), prefix);
    const auto expected = copy_of(*make_encoder(kTiny));
    from.emplace_back("module.projection_head.0.weight", torch::ones({2, 2}));
    from.emplace_back("momentum_backbone.conv1.weight", torch::ones({2, 2}));
    const auto encoder = make_encoder(kTiny);
    const auto report = load_state(*encoder, from);
    EXPECT_EQ(report.prefix, prefix);
    EXPECT_TRUE(report.complete());
    EXPECT_EQ(report.unexpected,
              (std::vector<std::string>{"module.projection_head.0.weight", "momentum_backbone.conv1.weight"}));
  }
}

TEST_F(Weights, WhatStandsInsideTheNetworkMakesItAnother) {
  for (const std::string prefix : {"", "module.backbone."})
    for (const char* name : {"layer1.0.se.fc1.weight", "layer4.1.conv2.bias", "conv1.bias"}) {
      auto from = copy_of(*make_encoder(kTiny), prefix);
      from.emplace_back(prefix + name, torch::ones({2}));
      const auto encoder = make_encoder(kTiny);
      const auto message = refusal<MismatchError>([&] { load_state(*encoder, from, {.model = "a resnet18"}); });
      EXPECT_EQ(message, "the weights are of another network: a resnet18 has no '" + prefix + name +
                             "'; give weights of that one, or start from the part that fits by --init-partial");
      EXPECT_EQ(load_state(*encoder, from, {.partial = true}).unexpected, std::vector<std::string>{prefix + name});
    }
}

TEST_F(Weights, AGivenPrefixChoosesTheNetwork) {
  torch::manual_seed(1);
  auto from = copy_of(*make_encoder(kTiny), "student.");
  const auto teacher = copy_of(*make_encoder(kTiny), "teacher.");
  from.insert(from.end(), teacher.begin(), teacher.end());
  const auto encoder = make_encoder(kTiny);
  auto report = load_state(*encoder, from, {.prefix = "teacher."});
  EXPECT_TRUE(equal(*encoder, teacher));
  EXPECT_EQ(report.unexpected.size(), 120u);
  report = load_state(*encoder, from, {.prefix = "student."});
  EXPECT_FALSE(equal(*encoder, teacher));
}

TEST_F(Weights, OfTwoNetworksTheOneThatIsMeantToBeUsedIsTaken) {
  // MoCo's query encoder, the teacher of DINO, the online network of BYOL and solo-learn's backbone, whatever the order in the file.
  for (const auto& [used, other] :
       std::vector<std::pair<std::string, std::string>>{{"module.encoder_q.", "module.encoder_k."},
                                                        {"teacher.backbone.", "student.module.backbone."},
                                                        {"teacher.", "student."},
                                                        {"module.base_encoder.", "module.momentum_encoder."},
                                                        {"online_encoder.", "target_encoder."},
                                                        {"backbone.", "momentum_backbone."},
                                                        {"trunk._feature_blocks.", "heads."}}) {
    const auto expected = copy_of(*make_encoder(kTiny), used), against = copy_of(*make_encoder(kTiny), other);
    for (const bool used_first : {true, false}) {
      auto from = used_first ? expected : against;
      const auto& rest = used_first ? against : expected;
      from.insert(from.end(), rest.begin(), rest.end());
      const auto encoder = make_encoder(kTiny);
      EXPECT_EQ(load_state(*encoder, from).prefix, used);
      EXPECT_TRUE(state_of(*encoder)[0].second.equal(expected[0].second)) << used;
    }
  }
  const auto message =
      refusal<UsageError>([] { load_state(*make_encoder(kTiny), copy_of(*make_encoder(kTiny), "classy.")); });
  EXPECT_NE(message.find("known are module. backbone. encoder. "), std::string::npos) << message;
  EXPECT_NE(message.find("rename others"), std::string::npos) << message;
}

TEST_F(Weights, AResNetSavedAsASequenceComesUnderItsNames) {
  const auto resnet = copy_of(*make_encoder(kTiny));
  const std::map<std::string, std::string> position{{"conv1", "0"},  {"bn1", "1"},    {"layer1", "4"},
                                                    {"layer2", "5"}, {"layer3", "6"}, {"layer4", "7"}};
  NamedTensors sequence;
  for (const auto& [name, tensor] : resnet) {
    const auto dot = name.find('.');
    sequence.emplace_back("backbone." + position.at(name.substr(0, dot)) + name.substr(dot), tensor);
  }
  sequence.emplace_back("projection_head.0.weight", torch::ones({2, 2}));
  write_safetensors(path("sequence.safetensors"), {sequence, {}});
  const auto loaded = read_encoder(path("sequence.safetensors"));
  EXPECT_EQ(loaded.options.arch, "resnet18");
  EXPECT_TRUE(equal(*loaded.encoder, resnet));
  EXPECT_EQ(loaded.report.unexpected, std::vector<std::string>{"projection_head.0.weight"});
}

TEST_F(Weights, TheReportNamesWhatDidNotFit) {
  auto from = copy_of(*make_encoder(kTiny));
  from.erase(from.begin());  // conv1.weight
  from.emplace_back("fc.weight", torch::ones({5, 16}));
  from.emplace_back("other", torch::ones({1}));
  for (auto& [name, tensor] : from) {
    if (name == "bn1.weight") tensor = torch::ones({7});
    if (name == "bn1.num_batches_tracked") tensor = torch::tensor(1.5);
  }
  const auto encoder = make_encoder(kTiny);
  const auto before = copy_of(*encoder);
  EXPECT_THROW(load_state(*encoder, from, {.strict = true}), MismatchError);
  EXPECT_TRUE(equal(*encoder, before));  // strict changes nothing when it throws
  // Unless a part is asked for, weights that are left as they were are an error, and nothing has changed.
  const auto message =
      refusal<MismatchError>([&] { load_state(*encoder, from, {.source = "a.safetensors", .model = "a resnet18"}); });
  EXPECT_EQ(message,
            "a.safetensors: the weights do not fill a resnet18: 117 tensors loaded; 1 missing, 1 unexpected, 2 of a "
            "wrong shape, 1 "
            "ignored; first: bn1.weight: 7 Float given, 2 Float wanted");
  EXPECT_TRUE(equal(*encoder, before));
  const auto report = load_state(*encoder, from, {.partial = true});
  EXPECT_EQ(report.missing, std::vector<std::string>{"conv1.weight"});
  EXPECT_EQ(report.unexpected, std::vector<std::string>{"other"});
  EXPECT_EQ(report.ignored, std::vector<std::string>{"fc.weight"});
  EXPECT_EQ(report.mismatched,
            (std::vector<std::string>{"bn1.weight: 7 Float given, 2 Float wanted",
                                      "bn1.num_batches_tracked: scalar Float given, scalar Long wanted"}));
  EXPECT_EQ(report.matched.size(), 117u);
  EXPECT_FALSE(report.complete());
  EXPECT_NE(report.detail().find("missing from the file:\n  conv1.weight\n"), std::string::npos) << report.detail();
}

TEST_F(Weights, NothingMatchedIsAnError) {
  const auto encoder = make_encoder(kTiny);
  EXPECT_THROW(load_state(*encoder, {}), Error);
  const auto message = refusal<Error>([&] { load_state(*encoder, {{"unrelated", torch::ones({1})}}); });
  EXPECT_NE(message.find("'unrelated'"), std::string::npos) << message;
  EXPECT_NE(message.find("'conv1.weight'"), std::string::npos) << message;
  EXPECT_THROW(load_state(*encoder, copy_of(*make_encoder({.arch = "resnet18", .width = 2})), {.prefix = "x."}), Error);
}

TEST_F(Weights, CountersAreNoMatch) {
  // Counters have the same names and shapes in every ResNet.
  const auto wide = copy_of(*make_encoder({.arch = "resnet18", .width = 4, .stem = "small"}));
  const auto encoder = make_encoder(kTiny);
  const auto before = copy_of(*encoder);
  for (const bool partial : {true, false})
    EXPECT_NE(refusal<UsageError>([&] { load_state(*encoder, wide, {.partial = partial}); }).find("no tensor fits"),
              std::string::npos);
  EXPECT_TRUE(equal(*encoder, before));
  // Nor do they choose the prefix.
  auto from = copy_of(*encoder);
  std::erase_if(from, [](const auto& item) { return item.first.ends_with("num_batches_tracked"); });
  for (const auto& [name, tensor] : wide)
    if (name.ends_with("num_batches_tracked")) from.emplace_back("module." + name, tensor);
  EXPECT_EQ(load_state(*encoder, from).prefix, "");
}

TEST_F(Weights, WeightsThatAreNotFiniteAreRefused) {
  for (const double bad : {double(NAN), double(INFINITY), -double(INFINITY)}) {
    auto from = copy_of(*make_encoder(kTiny));
    from.emplace_back("head.weight", torch::full({2}, bad));  // of a network that is not loaded
    const auto encoder = make_encoder(kTiny);
    EXPECT_NO_THROW(load_state(*encoder, from));
    const auto before = copy_of(*encoder);
    for (auto& [name, tensor] : from)
      if (name == "layer2.0.bn1.running_var" || name == "layer1.0.conv1.weight") tensor.flatten()[1] = bad;
    write_safetensors(path("bad.safetensors"), {from, {}});
    const std::string says = "the weights of " + path("bad.safetensors") +
                             " are not finite: 'layer1.0.conv1.weight' and 1 other tensors hold NaN or infinity";
    EXPECT_NE(refusal<UsageError>([&] { read_encoder(path("bad.safetensors")); }).find(says), std::string::npos);
    for (const bool partial : {true, false})
      EXPECT_NE(refusal<UsageError>([&] {
                  load_state(*encoder, from, {.partial = partial, .source = path("bad.safetensors")});
                }).find(says),
                std::string::npos);
    // A checkpoint's, of which all must be used.
    const NamedTensors checkpoint(from.begin(), from.end() - 1);
    EXPECT_NE(refusal<MismatchError>([&] {
                load_state(*encoder, checkpoint, {.strict = true, .source = path("bad.safetensors")});
              }).find(says),
              std::string::npos);
    EXPECT_TRUE(equal(*encoder, before));
    EXPECT_EQ(nonfinite_tensors(from),
              (std::vector<std::string>{"layer1.0.conv1.weight", "layer2.0.bn1.running_var", "head.weight"}));
  }
}

TEST_F(Weights, APipeIsNotWaitedFor) {
  ASSERT_EQ(::mkfifo(path("pipe.safetensors").c_str(), 0600), 0);
  EXPECT_NE(refusal<UsageError>([&] { read_weights(path("pipe.safetensors")); }).find("not a regular file"),
            std::string::npos);
  EXPECT_NE(refusal<UsageError>([&] { read_encoder_options(path("pipe.safetensors")); }).find("not a regular file"),
            std::string::npos);
  EXPECT_NE(refusal<UsageError>([&] { read_encoder(folder_.string()); }).find("not a regular file"), std::string::npos);
}

TEST_F(Weights, TheArchitectureIsReadFromTheHeader) {
  const EncoderOptions gray{.arch = "resnet50", .width = 1, .stem = "small", .in_channels = 1};
  write_encoder(path("gray.safetensors"), *make_encoder(gray), gray);
  const auto options = read_encoder_options(path("gray.safetensors"));
  ASSERT_TRUE(options);
  EXPECT_EQ(options->arch, "resnet50");
  EXPECT_EQ(options->width, 1);
  EXPECT_EQ(options->stem, "small");
  EXPECT_EQ(options->in_channels, 1);
  EXPECT_FALSE(read_encoder_options(kGolden + "all_types.safetensors"));
  write_safetensors(path("lies.safetensors"), {state_of(*make_encoder(kTiny)), {{"width", "64"}}});
  EXPECT_THROW(read_encoder_options(path("lies.safetensors")), MismatchError);
}

TEST_F(Weights, FilesWithoutCountersAreComplete) {
  auto from = copy_of(*make_encoder(kTiny));
  std::erase_if(from, [](const auto& item) { return item.first.ends_with("num_batches_tracked"); });
  const auto encoder = make_encoder(kTiny);
  const auto report = load_state(*encoder, from);
  EXPECT_EQ(report.missing.size(), 20u);
  EXPECT_TRUE(report.complete());
  EXPECT_THROW(load_state(*encoder, from, {.strict = true}), MismatchError);
}

TEST_F(Weights, TypesAreConverted) {
  torch::manual_seed(1);
  const auto doubles = make_encoder(kTiny);
  to_float_dtype(*doubles, at::kDouble);
  const auto encoder = make_encoder(kTiny);
  load_state(*encoder, copy_of(*doubles), {.strict = true});
  EXPECT_EQ(encoder->parameters()[0].scalar_type(), at::kFloat);
  EXPECT_TRUE(encoder->parameters()[0].equal(doubles->parameters()[0].to(at::kFloat)));
}

TEST_F(Weights, AnEncoderComesBackWithItsOptions) {
  torch::manual_seed(1);
  for (const EncoderOptions& options :
       {kTiny, EncoderOptions{.arch = "resnet34", .width = 2, .in_channels = 1},
        EncoderOptions{.arch = "resnet50", .width = 1, .stem = "small", .in_channels = 2}}) {
    const auto encoder = make_encoder(options);
    to_channels_last(*encoder);
    write_encoder(path("encoder.safetensors"), *encoder, options, {{"size", "32"}, {"mean", "0.5"}});
    const auto loaded = read_encoder(path("encoder.safetensors"));
    EXPECT_EQ(loaded.options.arch, options.arch);
    EXPECT_EQ(loaded.options.width, options.width);
    EXPECT_EQ(loaded.options.stem, options.stem);
    EXPECT_EQ(loaded.options.in_channels, options.in_channels);
    EXPECT_EQ(loaded.metadata.at("size"), "32");
    EXPECT_EQ(loaded.metadata.at("arch"), options.arch);
    EXPECT_TRUE(equal(*loaded.encoder, copy_of(*encoder)));
    EXPECT_TRUE(loaded.report.complete());
  }
}

TEST_F(Weights, StockTorchvisionFilesAreRecognised) {
  const auto loaded = read_encoder(kGolden + "resnet50_width2.safetensors");
  EXPECT_EQ(loaded.options.arch, "resnet50");
  EXPECT_EQ(loaded.options.width, 2);
  EXPECT_EQ(loaded.options.stem, "imagenet");
  EXPECT_EQ(loaded.report.ignored, (std::vector<std::string>{"fc.bias", "fc.weight"}));
  EXPECT_EQ(state_of(*loaded.encoder)[5].second.item<std::int64_t>(), 7);  // bn1.num_batches_tracked

  EXPECT_THROW(read_encoder(kGolden + "resnet50_width2.safetensors", kTiny), MismatchError);
  const auto message = refusal<Error>([] { read_encoder(kGolden + "all_types.safetensors"); });
  EXPECT_NE(message.find("--encoder.arch"), std::string::npos) << message;
}

TEST_F(Weights, MetadataThatLiesIsAMismatch) {
  const auto encoder = make_encoder(kTiny);
  TensorFile file{state_of(*encoder), {{"arch", "resnet18"}, {"width", "1000000"}}};
  write_safetensors(path("a.safetensors"), file);
  EXPECT_THROW(read_encoder(path("a.safetensors")), MismatchError);
}

TEST_F(Weights, AWidthThatTheLastStageDeniesIsNotBuilt) {
  TensorFile file{copy_of(*make_encoder(kTiny)), {}};
  file.tensors[0].second = torch::zeros({1024, 3, 3, 3});
  write_safetensors(path("a.safetensors"), file);
  EXPECT_THROW(read_encoder(path("a.safetensors")), UsageError);
}

using CiWeights = Weights;

TEST_F(CiWeights, TheAdviceForPicklesConvertsThem) {
  const std::string python = UNLABEL_SOURCE_DIR "/.venv/bin/python";
  if (std::system((python + " -c 'import torch' > /dev/null 2>&1").c_str()) != 0)
    GTEST_SKIP() << "no Python with torch";
  std::ofstream(path("weights.pth")) << "PK\3\4...";
  const auto message = refusal<UsageError>([&] { read_weights(path("weights.pth")); });
  const auto begin = message.find("python3 -c \""), end = message.rfind("\" " + path("weights.pth"));
  ASSERT_NE(begin, std::string::npos) << message;
  ASSERT_NE(end, std::string::npos) << message;
  std::ofstream(path("advice.py")) << message.substr(begin + 12, end - begin - 12);
  // Makes checkpoints as other frameworks save them, and converts each as advised.
  ASSERT_EQ(std::system(concat(python, " " UNLABEL_SOURCE_DIR "/tests/ssl/weights/foreign_checkpoints.py ",
                               path("advice.py"), " ", folder_.string(), " 2> ", path("errors"))
                            .c_str()),
            0);
  const auto expected = read_encoder(path("plain.pth.safetensors"));
  int converted = 0;
  for (const auto& file : fs::directory_iterator(folder_)) {
    if (!file.path().string().ends_with(".safetensors")) continue;
    ++converted;
    const auto loaded = read_encoder(file.path().string());
    EXPECT_TRUE(equal(*loaded.encoder, state_of(*expected.encoder))) << file.path();
    EXPECT_EQ(loaded.options.width, 2) << file.path();
  }
  EXPECT_EQ(converted, 12);
}

TEST_F(Weights, PicklesAreNamedAsSuch) {
  std::ofstream(path("weights.pth")) << "PK\3\4...";
  std::ofstream(path("weights.pth.tar")) << "\x80\x02...";
  std::ofstream(path("disguised.safetensors")) << "PK\3\4 and more";
  std::ofstream(path("fourth.model")) << "\x80\x04\x95...";
  for (const char* name : {"weights.pth", "weights.pth.tar", "disguised.safetensors", "fourth.model"}) {
    const auto message = refusal<Error>([&] { read_weights(path(name)); });
    EXPECT_NE(message.find("pickle"), std::string::npos) << message;
    EXPECT_NE(message.find("save_file"), std::string::npos) << message;
  }
  // The bytes decide where they can.
  write_encoder(path("encoder.safetensors"), *make_encoder({.width = 2}), {.width = 2}, {});
  fs::copy(path("encoder.safetensors"), path("pytorch_model.bin"));
  EXPECT_GT(read_weights(path("pytorch_model.bin")).tensors.size(), 10u);
  // A header of 0x10480 bytes begins like a pickle of protocol 4. Spaces may end it.
  std::ifstream in(path("encoder.safetensors"), std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  constexpr std::uint64_t kLikeAPickle = 0x10480;
  ASSERT_LT(header, kLikeAPickle);
  bytes.insert(sizeof header + header, kLikeAPickle - header, ' ');
  std::memcpy(bytes.data(), &kLikeAPickle, sizeof header);
  std::ofstream(path("padded.safetensors"), std::ios::binary) << bytes;
  EXPECT_GT(read_weights(path("padded.safetensors")).tensors.size(), 10u);
  EXPECT_NE(refusal<Error>([&] { read_weights(path("none.pth")); }).find("No such file"), std::string::npos);
}

}  // namespace
}  // namespace unlabel::ssl::weights_test
