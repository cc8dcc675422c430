#include <unlabel/augment/transforms/presets.h>
#include <unlabel/data/device_copy.h>
#include <unlabel/launch/cli/commands.h>
#include <unlabel/launch/training/precision.h>
#include <unlabel/launch/training/step_guard.h>
#include <unlabel/launch/training/step_stats.h>
#include <unlabel/ssl/methods.h>
#include <unlabel/ssl/monitor/embedding_stats.h>
#include <unlabel/ssl/optim/autocast.h>

#include "launch/program.h"
#include <ATen/record_function.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

// What the loop and the methods owe to a device, as far as it shows without one.

namespace unlabel::launch {
namespace {

/// Operations for which the host must know what the device has computed.
const std::set<std::string>& reads() {
  static const std::set<std::string> names{
      "aten::_local_scalar_dense", "aten::nonzero",           "aten::masked_select", "aten::_unique2",
      "aten::unique_dim",          "aten::bincount",          "aten::equal",         "aten::is_nonzero",
      "aten::unique_consecutive",  "aten::repeat_interleave", "aten::_linalg_eigh",  "aten::_linalg_svd",
      "aten::multinomial"};
  return names;
}
std::map<std::string, int> seen;

std::unique_ptr<at::ObserverContext> note(const at::RecordFunction& function) {
  if (reads().contains(function.name())) ++seen[function.name()];
  return nullptr;
}

std::string text_of(const std::map<std::string, int>& counts) {
  std::string text;
  for (const auto& [name, count] : counts) text += concat(name, " x ", count, "; ");
  return text;
}

constexpr std::int64_t kImages = 32, kBatch = 8, kSide = 16, kSteps = kImages / kBatch;

data::Batch views_of(const std::vector<std::int64_t>& samples, int crops) {
  data::Batch views;
  for (int v = 0; v < crops; ++v) {
    torch::manual_seed(static_cast<std::uint64_t>(v));
    views.tensors.emplace_back(concat("view.", v),
                               torch::randn({kImages, 3, kSide, kSide}).index_select(0, torch::tensor(samples)));
  }
  views.indices = torch::tensor(samples);
  return views;
}

/// Trains as the loop does where the verdict stays on the device. The host's reads by step, those of clusterings before epochs left out.
std::vector<std::map<std::string, int>> reads_of_steps(const std::string& name, const std::string& precision_name) {
  const Precision precision(precision_name);
  torch::manual_seed(3);
  ssl::MethodOptions options;
  auto settings = table(options);
  for (const auto& [key, value] : std::map<std::string, std::string>{{"swav.prototypes", "12"},
                                                                     {"swav.hidden_dim", "16"},
                                                                     {"swav.projection_dim", "8"},
                                                                     {"swav.queue_length", "24"},
                                                                     {"swav.queue_start_epoch", "0"},
                                                                     {"swav.freeze_prototypes_iterations", "2"},
                                                                     {"byol.hidden_dim", "16"},
                                                                     {"byol.projection_dim", "8"},
                                                                     {"moco.hidden_dim", "16"},
                                                                     {"moco.projection_dim", "8"},
                                                                     {"moco.queue_length", "16"},
                                                                     {"moco.norm_group", "4"},
                                                                     {"simclr.hidden_dim", "16"},
                                                                     {"simclr.projection_dim", "8"},
                                                                     {"deepcluster.clusters", "4"},
                                                                     {"deepcluster.pca_dim", "8"},
                                                                     {"deepcluster_v2.prototypes", "[4, 4]"},
                                                                     {"deepcluster_v2.hidden_dim", "16"},
                                                                     {"deepcluster_v2.projection_dim", "8"}})
    settings.from_json({{key, settings.parse_text(key, value)}}, "test");
  const auto group = ssl::single_process();
  const auto method = ssl::make_method(
      name, options, {{.arch = "resnet18", .width = 2, .stem = "small"}, kImages, kBatch, 0, 0, group});
  method->train();
  ssl::OptimizerOptions rule;
  rule.lr = 0.01;
  ssl::Optimizer optimizer(method->parameter_groups(), rule);
  LossScaler scaler(false, c10::kCPU);
  StepGuard guard(*method, optimizer, /*deferred=*/true);
  const int crops = name == "deepcluster" ? 1 : 2;
  const data::ImageViews transform(augment::preset(crops == 1 ? "deepcluster" : "simclr", {.global_size = int(kSide)}));
  std::optional<StepStatsReduction> before;
  std::vector<std::map<std::string, int>> steps;
  for (std::int64_t i = 0; i < kSteps + 1; ++i) {
    ssl::Step step{i, i / kSteps, 3 * kSteps, kSteps, 0, 1};
    if (i % kSteps == 0)
      method->before_epoch(
          {i / kSteps, nullptr, &transform,
           [&](const auto&, const auto& wanted, std::int64_t, const auto& visit) { visit(views_of(wanted, crops)); }});
    std::vector<std::int64_t> samples;
    for (std::int64_t s = 0; s < kBatch; ++s) samples.push_back(i % kSteps * kBatch + s);
    const auto views = views_of(samples, crops);

    seen.clear();
    const auto handle = at::addThreadLocalCallback(at::RecordFunctionCallback(&note));
    guard.before_forward();
    method->before_step(step);
    optimizer.zero_grad();
    ssl::Loss loss;
    {
      const ssl::Autocast autocast(c10::kCPU, precision.autocast());
      loss = method->loss(views, step);
    }
    scaler.scale(loss.value).backward();
    LocalStepStats stats;
    stats.loss = loss.value.detach().to(torch::kFloat64);
    stats.diagnostics = loss.diagnostics;
    const auto spread = ssl::embedding_stats(loss.embeddings);
    stats.diagnostics.emplace_back("feature_spread", spread.feature_spread);
    stats.gram = spread.gram;
    StepStatsReduction exchange(*group, stats);
    const auto finite = scaler.unscale(method->parameters()).logical_and(exchange.loss().isfinite());
    exchange.copy_to_host_async(finite);
    guard.update(finite, [&] {
      method->before_update(step);
      optimizer.step(0.01);
      auto after = step;
      after.update_applied = finite;
      method->after_step(after);
    });
    at::removeCallback(handle);
    steps.push_back(seen);

    EXPECT_TRUE(!before || before->wait().finite) << name << ", step " << i - 1;
    before.emplace(std::move(exchange));
  }
  return steps;
}

TEST(Step, NeedsNothingOfTheDeviceToGoOn) {
  for (const std::string name : {"byol", "deepcluster", "deepcluster_v2", "moco", "simclr", "swav"}) {
    const auto steps = reads_of_steps(name, "float32");
    for (std::size_t i = 0; i < steps.size(); ++i) {
      // SwAV looks once whether its queue, of three batches, is full, when it can be.
      const int looks = name == "swav" && i == 3 ? 1 : 0;
      EXPECT_EQ(text_of(steps[i]), looks > 0 ? "aten::_local_scalar_dense x 1; " : "") << name << ", step " << i;
    }
  }
}

/// Looks at all images before each epoch, and then at those that it is trained on.
struct Watcher : ssl::Method {
  struct Options {};
  Watcher(const Options&, const ssl::MethodContext& context) : images(context.images) {
    backbone = register_module("backbone", ssl::make_image_encoder(context.encoder));
  }
  ssl::Diagnostics before_epoch(const ssl::EpochContext& epoch) override {
    std::vector<std::int64_t> all;
    for (std::int64_t i = 0; i < images; ++i) all.push_back(i);
    epoch.read(*epoch.transform, all, 8, [&](const data::Batch& views) {
      for (std::int64_t row = 0; row < views.indices.size(0); ++row)
        before[views.indices[row].item<std::int64_t>()].push_back(views.tensors[0].second[row].clone());
    });
    return {};
  }
  ssl::Loss loss(const data::Batch& views, const ssl::Step&) override {
    for (std::int64_t row = 0; row < views.indices.size(0); ++row) {
      ++trained;
      for (const auto& other : before[views.indices[row].item<std::int64_t>()])
        same += static_cast<int>(views.tensors[0].second[row].equal(other));
    }
    return {backbone->forward(views.tensors[0].second).square().mean(), {}, {}};
  }
  ssl::Encoder& encoder() override { return *backbone; }

  std::int64_t images;
  std::map<std::int64_t, std::vector<at::Tensor>> before;
  std::shared_ptr<ssl::ImageEncoder> backbone;
  static inline int trained = 0, same = 0;
};
OptionTable table(Watcher::Options&) { return {}; }

TEST(Step, TrainsOnOtherViewsThanThoseOfAPassBeforeItsEpoch) {
  const TemporaryFolder folder;
  make_images(folder / "images", 16, 20, 2);
  std::ofstream(folder / "recipe.json") << R"({"method": "watcher", "epochs": 2, "batch_size": 8,
    "encoder": {"arch": "resnet18", "width": 2, "stem": "small"}, "augment": {"preset": "simclr", "global_size": 16}})";
  ssl::add_method(ssl::method_spec<Watcher, Watcher::Options>("watcher"));
  EXPECT_EQ(command_pretrain({"watcher", "--data", folder / "images", "--out", folder / "out", "--recipe",
                              folder / "recipe.json", "--threads", "0", "--json", folder / "result.json"}),
            0);
  EXPECT_EQ(Watcher::trained, 32);
  EXPECT_EQ(Watcher::same, 0);
}

}  // namespace
}  // namespace unlabel::launch
