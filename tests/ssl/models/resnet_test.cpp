#include <unlabel/augment/error.h>
#include <unlabel/ssl/layers/batch_norm.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/models/resnet.h>
#include <unlabel/ssl/optim/autocast.h>
#include <unlabel/ssl/weights/weights.h>

#include "refusal.h"
#include "ssl/thread_group.h"
#include "ssl/tiny_method.h"
#include <gtest/gtest.h>
#include <torch/types.h>

#include <fstream>
#include <map>
#include <string>

namespace unlabel::ssl::resnet_test {
namespace {

const std::string kGolden = UNLABEL_SOURCE_DIR "/tests/golden/";

std::map<std::string, at::Tensor> read_map(const std::string& name) {
  const auto file = read_safetensors(kGolden + name);
  return {file.tensors.begin(), file.tensors.end()};
}

// These networks are tiny: more threads only wait for each other.
class OneThread : public ::testing::Environment {
  void SetUp() override { at::set_num_threads(1); }
};
const auto* const kOneThread = ::testing::AddGlobalTestEnvironment(new OneThread);

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

// The largest difference, as a part of the largest value.
double relative(const at::Tensor& got, const at::Tensor& want) {
  return difference(got, want) / want.abs().max().item<double>();
}

class TorchvisionResNet : public ::testing::TestWithParam<const char*> {
 protected:
  std::string name() const { return GetParam(); }
  std::shared_ptr<ImageEncoder> load() const {
    return std::dynamic_pointer_cast<ImageEncoder>(read_encoder(kGolden + name() + ".safetensors").encoder);
  }
  std::map<std::string, at::Tensor> expected() const { return read_map(name() + "_expected.safetensors"); }
};

TEST_P(TorchvisionResNet, FeaturesGradientsAndStatisticsAgreeInFloat64) {
  auto want = expected();
  for (const bool channels_last : {false, true}) {
    const auto encoder = load();
    to_float_dtype(*encoder, at::kDouble);
    if (channels_last) to_channels_last(*encoder);
    const auto input = want.at("input").to(at::kDouble);
    encoder->eval();
    EXPECT_LT(difference(encoder->forward(input), want.at("eval")), 1e-9);

    encoder->train();
    const auto features = encoder->forward(input);
    EXPECT_LT(difference(features, want.at("train")), 1e-9);
    (features * want.at("direction")).sum().backward();
    const auto parameters = encoder->named_parameters();
    const auto state = state_of(*encoder);
    const std::map<std::string, at::Tensor> buffers(state.begin(), state.end());
    int gradients = 0, after = 0;
    for (const auto& [key, value] : want) {
      if (key.starts_with("gradient.")) {
        ++gradients;
        EXPECT_LT(difference(parameters[key.substr(9)].grad(), value),
                  1e-9 * std::max(1., value.abs().max().item<double>()))
            << key;
      } else if (key.starts_with("after.")) {
        ++after;
        EXPECT_LT(difference(buffers.at(key.substr(6)), value), 1e-12) << key;
      }
    }
    EXPECT_EQ(gradients, 4);
    EXPECT_EQ(after, 9);
  }
}

TEST_P(TorchvisionResNet, FeaturesAgreeInFloat32) {
  auto want = expected();
  // Fifty normalisations over 12 values a channel magnify rounding: torchvision's own float32 is 7e-5 from its float64
  // there.
  const double tolerance = name().starts_with("resnet50") ? 1e-4 : 1e-5;
  for (const bool channels_last : {false, true}) {
    const auto encoder = load();
    if (channels_last) to_channels_last(*encoder);
    encoder->eval();
    EXPECT_LT(relative(encoder->forward(want.at("input")), want.at("eval")), 1e-5);
    encoder->train();
    EXPECT_LT(relative(encoder->forward(want.at("input")), want.at("train")), tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, TorchvisionResNet, ::testing::Values("resnet18_small_width3", "resnet50_width2"));

TEST(ResNet, NamesAndShapesAreTorchvisions) {
  for (const std::string arch : {"resnet18", "resnet50"}) {
    std::ifstream file(kGolden + arch + "_keys.txt");
    ASSERT_TRUE(file);
    const std::string expected((std::istreambuf_iterator<char>(file)), {});
    std::string keys;
    EncoderOptions options;
    options.arch = arch;
    for (const auto& [key, tensor] : state_of(*make_image_encoder(options))) {
      keys += key;
      for (const auto size : tensor.sizes()) keys += concat(" ", size);
      keys += "\n";
    }
    EXPECT_EQ(keys, expected);
  }
}

TEST(ResNet, DeeperOnesHaveTorchvisionsNumberOfTensors) {
  const std::map<std::string, std::pair<std::size_t, std::int64_t>> tensors_and_dim{
      {"resnet34", {216, 64}}, {"resnet101", {624, 256}}, {"resnet152", {930, 256}}};
  for (const auto& [arch, expected] : tensors_and_dim) {
    EncoderOptions options;
    options.arch = arch;
    options.width = 8;
    const auto encoder = make_image_encoder(options);
    EXPECT_EQ(state_of(*encoder).size(), expected.first) << arch;
    EXPECT_EQ(encoder->feature_dim(), expected.second) << arch;
  }
}

TEST(ResNet, StartsAsTheOfficialCodeDoes) {
  torch::manual_seed(0);
  EncoderOptions options;
  options.arch = "resnet18";
  options.width = 32;
  const auto encoder = make_image_encoder(options);
  const auto parameters = encoder->named_parameters();
  // N(0, 2 / fan_out): 64 channels of 3x3 out.
  const auto& weight = parameters["layer2.0.conv2.weight"];
  EXPECT_NEAR(weight.std().item<double>(), std::sqrt(2. / (64 * 9)), 1e-3);
  EXPECT_NEAR(weight.mean().item<double>(), 0, 1e-3);
  EXPECT_TRUE(parameters["layer2.0.bn2.weight"].equal(torch::ones({64})));
  EXPECT_TRUE(parameters["layer2.0.bn2.bias"].equal(torch::zeros({64})));
  EXPECT_EQ(encoder->feature_dim(), 256);

  options.zero_init_residual = true;
  const auto zeroed = make_image_encoder(options)->named_parameters();
  EXPECT_TRUE(zeroed["layer2.0.bn2.weight"].equal(torch::zeros({64})));
  EXPECT_TRUE(zeroed["layer2.0.bn1.weight"].equal(torch::ones({64})));
  options.arch = "resnet50";
  EXPECT_TRUE(make_image_encoder(options)->named_parameters()["layer1.1.bn3.weight"].equal(torch::zeros({128})));
}

TEST(ResNet, GivesTheMapsOfItsStagesWhenAsked) {
  torch::manual_seed(0);
  const auto images = torch::randn({2, 3, 64, 96});
  for (const auto& [arch, expansion] : std::map<std::string, std::int64_t>{{"resnet18", 1}, {"resnet50", 4}}) {
    const auto encoder = make_image_encoder({.arch = arch, .width = 4});
    encoder->eval();
    const torch::NoGradGuard no_grad;
    const auto plain = encoder->encode_images(images, {});
    EXPECT_TRUE(plain.stages.empty());
    EXPECT_FALSE(plain.tokens.defined());
    const auto output = encoder->encode({{{"images", images}}, {}}, {.tokens = true, .stages = true});
    ASSERT_EQ(output.stages.size(), 4u);
    for (std::int64_t s = 0; s < 4; ++s)  // strides 4, 8, 16, 32
      EXPECT_EQ(output.stages[static_cast<std::size_t>(s)].sizes(),
                (std::vector<std::int64_t>{2, (4 * expansion) << s, 16 >> s, 24 >> s}));
    EXPECT_TRUE(output.pooled.equal(output.stages.back().mean({2, 3})));
    EXPECT_TRUE(output.pooled.equal(plain.pooled));
    EXPECT_TRUE(output.pooled.equal(encoder->forward(images)));
    EXPECT_FALSE(output.tokens.defined()) << "a ResNet has none";
  }
}

TEST(ResNet, TrainsUnderAutocastInChannelsLast) {
  torch::manual_seed(0);
  EncoderOptions options{.arch = "resnet18", .width = 8, .stem = "small"};
  const auto encoder = make_image_encoder(options);
  const auto images = torch::randn({4, 3, 32, 32});
  const auto exact = encoder->forward(images);
  to_channels_last(*encoder);
  const auto features =
      testing::in_bf16([&] { return encoder->forward(images.contiguous(at::MemoryFormat::ChannelsLast)); });
  EXPECT_EQ(features.scalar_type(), at::kBFloat16);
  EXPECT_LT(difference(features, exact), 0.1);
  EXPECT_GT(difference(features, exact), 0);
  features.to(at::kFloat).square().sum().backward();
  for (const auto& item : encoder->named_parameters()) {
    EXPECT_EQ(item.value().grad().scalar_type(), at::kFloat) << item.key();
    EXPECT_TRUE(item.value().grad().isfinite().all().item<bool>()) << item.key();
    EXPECT_TRUE(item.value().is_contiguous(item.value().dim() == 4 ? at::MemoryFormat::ChannelsLast
                                                                   : at::MemoryFormat::Contiguous));
  }
  for (const auto& item : encoder->named_buffers()) {
    EXPECT_EQ(item.value().scalar_type(), item.key().ends_with("tracked") ? at::kLong : at::kFloat) << item.key();
  }
}

TEST(ResNet, OneAndTwoRanksGiveTheSameFeaturesAndGradients) {
  torch::manual_seed(0);
  const auto images = torch::randn({8, 3, 16, 16}, at::kDouble);
  const auto small_images = torch::randn({8, 3, 12, 12}, at::kDouble);
  const EncoderOptions options{.arch = "resnet18", .width = 4, .stem = "small"};
  const auto reference = make_image_encoder(options);
  to_float_dtype(*reference, at::kDouble);
  const auto initial = state_of(*reference);
  NamedTensors start;
  for (const auto& [name, tensor] : initial) start.emplace_back(name, tensor.detach().clone());

  // Two resolutions, as in multi-crop: every layer runs twice before one backward pass.
  const auto step = [](ImageEncoder& encoder, const at::Tensor& large, const at::Tensor& small) {
    const auto features = torch::cat({encoder.forward(large), encoder.forward(small)});
    features.square().mean().backward();
    return features.detach();
  };
  const auto features = step(*reference, images, small_images);
  testing::run_ranks(2, [&](std::shared_ptr<const Group> group) {
    const auto encoder = make_image_encoder(options);
    to_float_dtype(*encoder, at::kDouble);
    load_state(*encoder, start, {.strict = true});
    set_batch_norm_group(*encoder, group);
    const int first = 4 * group->rank();
    const auto mine = step(*encoder, images.narrow(0, first, 4), small_images.narrow(0, first, 4));
    EXPECT_LT(difference(mine.narrow(0, 0, 4), features.narrow(0, first, 4)), 1e-12);
    EXPECT_LT(difference(mine.narrow(0, 4, 4), features.narrow(0, 8 + first, 4)), 1e-12);
    const auto expected = reference->named_parameters();
    for (const auto& item : encoder->named_parameters()) {
      auto gradient = item.value().grad().contiguous();
      group->all_reduce_sum(gradient);
      const auto& want = expected[item.key()].grad();
      EXPECT_LT(difference(gradient / 2, want), 1e-11 * std::max(1., want.abs().max().item<double>())) << item.key();
    }
    const auto buffers = reference->named_buffers();
    for (const auto& item : encoder->named_buffers()) {
      EXPECT_LT(difference(item.value(), buffers[item.key()]), 1e-12) << item.key();
    }
  });
}

TEST(ResNet, WrongOptionsAreNamed) {
  const auto message = [](const EncoderOptions& options) { return refusal([&] { make_image_encoder(options); }); };
  EXPECT_NE(message({.arch = "resnet5"}).find("did you mean 'resnet50'"), std::string::npos)
      << message({.arch = "resnet5"});
  EXPECT_NE(message({.arch = "vit"}).find("'vit'"), std::string::npos);
  EXPECT_NE(message({.stem = "smal"}).find("'small'"), std::string::npos);
  EXPECT_NE(message({.width = 0}).find("width is 0"), std::string::npos);
  EXPECT_NE(message({.in_channels = -1}).find("in_channels is -1"), std::string::npos);
  EXPECT_THROW(make_resnet(20, {}), UsageError);
}

TEST(EncoderOptionsTable, RoundTrips) {
  EncoderOptions options;
  table(options).from_json({{"arch", "resnet34"}, {"width", 16}, {"stem", "small"}}, "test");
  EXPECT_EQ(options.arch, "resnet34");
  EXPECT_EQ(options.width, 16);
  EXPECT_EQ(table(options).to_json()["stem"], "small");
}

TEST(Cast, LeavesIntegersAndStridesAlone) {
  const auto encoder = make_image_encoder({.arch = "resnet18", .width = 4});
  to_channels_last(*encoder);
  to_float_dtype(*encoder, at::kDouble);
  for (const auto& [name, tensor] : state_of(*encoder)) {
    EXPECT_EQ(tensor.scalar_type(), name.ends_with("tracked") ? at::kLong : at::kDouble) << name;
    if (tensor.dim() == 4) {
      EXPECT_TRUE(tensor.is_contiguous(at::MemoryFormat::ChannelsLast)) << name;
    }
  }
  EXPECT_THROW(to_float_dtype(*encoder, at::kBFloat16), UsageError);
}

}  // namespace
}  // namespace unlabel::ssl::resnet_test
