#include <unlabel/augment/error.h>
#include <unlabel/ssl/layers/dropout.h>
#include <unlabel/ssl/models/convnet.h>
#include <unlabel/ssl/models/sobel.h>
#include <unlabel/ssl/optim/autocast.h>
#include <unlabel/ssl/weights/weights.h>

#include <gtest/gtest.h>
#include <torch/types.h>

#include <filesystem>
#include <map>
#include <set>

namespace unlabel::ssl::convnet_test {
namespace {

const std::map<std::string, at::Tensor>& golden() {
  static const auto file = read_safetensors(UNLABEL_SOURCE_DIR "/tests/golden/convnet.safetensors");
  static const std::map<std::string, at::Tensor> tensors(file.tensors.begin(), file.tensors.end());
  return tensors;
}

NamedTensors weights_of(const std::string& name) {
  NamedTensors weights;
  for (const auto& [key, tensor] : golden())
    if (key.starts_with(name + ".")) weights.emplace_back(key.substr(name.size() + 1), tensor);
  return weights;
}

at::Tensor images() {
  const auto i = torch::arange(2 * 3 * 224 * 224, torch::kDouble);
  return torch::sin(0.013 * i + 1e-7 * i * i).view({2, 3, 224, 224});
}

double difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

EncoderOptions narrow(const std::string& arch) { return {.arch = arch, .width = 1, .sobel = true}; }

void leave_dropout_out(Encoder& encoder) {
  for (const auto& module : encoder.modules(false))
    if (auto* layer = module->as<DropoutImpl>()) layer->p = 0;
}

TEST(ConvNet, IsDeepClustersAlexNetAndVgg) {
  for (const char* name : {"alexnet", "vgg16"}) {
    SCOPED_TRACE(name);
    const auto encoder = make_image_encoder(narrow(name));
    const auto report = load_state(*encoder, weights_of(name), {"", /*strict=*/true});
    EXPECT_TRUE(report.complete()) << report.detail();
    EXPECT_TRUE(report.unexpected.empty()) << report.detail();
    EXPECT_EQ(encoder->feature_dim(), 64);
    to_float_dtype(*encoder, torch::kDouble);
    leave_dropout_out(*encoder);
    const auto get = [&](const std::string& what) { return golden().at(std::string("expected.") + name + "." + what); };
    encoder->eval();
    EXPECT_LT(difference(encoder->forward(images()), get("eval")), 1e-9);
    encoder->train();
    EXPECT_LT(difference(encoder->forward(images()), get("train")), 1e-6);
    EXPECT_LT(difference(encoder->named_buffers()["features.1.running_mean"], get("running_mean")), 1e-6);
  }
}

TEST(ConvNet, IsReadBackByItsShapes) {
  const auto path = (std::filesystem::temp_directory_path() / "unlabel_convnet_test.safetensors").string();
  for (const auto& options : {narrow("alexnet"), narrow("vgg16"), EncoderOptions{.arch = "alexnet", .width = 2},
                              EncoderOptions{.arch = "resnet18", .width = 2, .stem = "small", .sobel = true}}) {
    const auto encoder = make_image_encoder(options);
    write_encoder(path, *encoder, options);
    const auto loaded = read_encoder(path);
    EXPECT_EQ(loaded.options.arch, options.arch);
    EXPECT_EQ(loaded.options.width, options.width);
    EXPECT_EQ(loaded.options.sobel, options.sobel);
    EXPECT_EQ(loaded.options.in_channels, 3);
    encoder->eval();
    loaded.encoder->eval();
    const auto x = images().to(torch::kFloat);
    EXPECT_EQ(difference(encoder->forward(x), image_encoder(*loaded.encoder).forward(x)), 0) << options.arch;
  }
  std::filesystem::remove(path);
}

TEST(ConvNet, TakesImagesOf224Only) {
  const auto encoder = make_image_encoder(narrow("alexnet"));
  EXPECT_THROW(encoder->forward(torch::zeros({2, 3, 96, 96})), UsageError);
  EXPECT_THROW(encoder->forward(torch::zeros({2, 3, 16, 16})), UsageError);
  EXPECT_THROW(make_image_encoder(narrow("vgg16"))->check_size(224, 96), UsageError);
  EXPECT_NO_THROW(make_image_encoder(narrow("vgg16"))->check_size(224, 224));
  EXPECT_NO_THROW(make_image_encoder({.arch = "resnet18", .width = 2})->check_size(32, 48));
  auto gray = narrow("vgg16");
  gray.in_channels = 1;
  EXPECT_THROW(make_image_encoder(gray), UsageError);
  gray.sobel = false;
  EXPECT_EQ(make_image_encoder(gray)->forward(torch::zeros({2, 1, 224, 224})).sizes(),
            (std::vector<std::int64_t>{2, 64}));
}

TEST(Sobel, FindsEdgesAndDoesNotLearn) {
  Sobel sobel;
  EXPECT_TRUE(sobel->parameters().empty());
  auto picture = torch::zeros({1, 3, 6, 6});
  picture.slice(3, 3).fill_(1);  // dark on the left, bright on the right
  const auto edges = sobel(picture);
  ASSERT_EQ(edges.sizes(), (std::vector<std::int64_t>{1, 2, 6, 6}));
  EXPECT_NEAR(edges[0][0][2][2].item<double>(), -4, 1e-6);
  EXPECT_NEAR(edges[0][0][2][1].item<double>(), 0, 1e-6);
  EXPECT_NEAR(edges[0][1][2][2].item<double>(), 0, 1e-6);
  to_float_dtype(*sobel, torch::kDouble);
  EXPECT_EQ(sobel(picture.to(torch::kDouble)).scalar_type(), torch::kDouble);
}

TEST(Dropout, IsTheSameOnAnyNumberOfRanks) {
  Dropout dropout(0.5);
  const auto x = torch::ones({8, 50});
  const auto with = [&](DropoutKey key, const at::Tensor& input) {
    set_dropout_key(*dropout, key);
    return dropout(input);
  };
  const DropoutKey key{.seed = 3, .round = 7};
  const auto one = with(key, x);
  EXPECT_NEAR(one.mean().item<double>(), 1, 0.2);
  EXPECT_FALSE(one[0].equal(one[1]));  // each sample has a mask of its own
  EXPECT_TRUE(at::logical_or(one == 0, one == 2).all().item<bool>());
  EXPECT_TRUE(with(key, x).equal(one));
  for (int rank = 0; rank < 4; ++rank)
    EXPECT_TRUE(with({.seed = 3, .round = 7, .rank = rank, .world_size = 4}, x.narrow(0, 2 * rank, 2))
                    .equal(one.narrow(0, 2 * rank, 2)));
  EXPECT_FALSE(with({.seed = 3, .round = 8}, x).equal(one));
  EXPECT_FALSE(with({.seed = 4, .round = 7}, x).equal(one));
  dropout->eval();
  EXPECT_TRUE(dropout(x).equal(x));
}

TEST(Dropout, EachLayerHasItsOwnMask) {
  const auto encoder = make_image_encoder(narrow("alexnet"));
  set_dropout_key(*encoder, {.seed = 1, .round = 2});
  std::vector<std::uint64_t> layers;
  for (const auto& module : encoder->modules(false))
    if (auto* layer = module->as<DropoutImpl>()) layers.push_back(layer->key.layer);
  EXPECT_EQ(layers, (std::vector<std::uint64_t>{0, 1}));
}

TEST(Dropout, NoTwoPassesOutsideOfStepsShareARound) {
  std::set<std::uint64_t> rounds;
  std::size_t passes = 0;
  for (const std::int64_t epoch : {0, 1, 2, 799})  // passes of more batches than an epoch has steps
    for (const std::int64_t n : {std::int64_t{0}, std::int64_t{1}, std::int64_t{5000}, std::int64_t{0xFFFFFFFF}}) {
      const auto round = round_outside_of_steps(epoch, n);
      EXPECT_GT(round, std::uint64_t{1} << 63) << "steps count from 0";
      rounds.insert(round);
      ++passes;
    }
  EXPECT_EQ(rounds.size(), passes);
}

}  // namespace
}  // namespace unlabel::ssl::convnet_test
