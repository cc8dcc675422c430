#include <unlabel/augment/error.h>
#include <unlabel/ssl/methods.h>
#include <unlabel/ssl/methods/byol.h>
#include <unlabel/ssl/methods/deepcluster.h>
#include <unlabel/ssl/methods/deepcluster_v2.h>
#include <unlabel/ssl/methods/moco.h>
#include <unlabel/ssl/methods/simclr.h>
#include <unlabel/ssl/methods/swav.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/optim/optimizer.h>
#include <unlabel/ssl/optim/schedule.h>
#include <unlabel/ssl/planning/recipe.h>

#include "refusal.h"
#include <gtest/gtest.h>
#include <torch/types.h>

#include <filesystem>
#include <fstream>
#include <set>

namespace unlabel::ssl {
namespace {

using nlohmann::json;

/// One recipe against the options structs; every key must be known.
struct Read {
  EncoderOptions encoder;
  MethodOptions method;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;

  explicit Read(const json& recipe) {
    table(encoder).from_json(recipe.at("encoder"), "encoder");
    const std::string own = recipe.at("method");
    table(method).from_json({{own, recipe.at(own)}}, "recipe");
    table(optimizer).from_json(recipe.at("optimizer"), "optimizer");
    table(schedule).from_json(recipe.at("schedule"), "schedule");
  }
};

TEST(Recipe, AllAreReadable) {
  ASSERT_EQ(recipe_names().size(), 25u);
  EXPECT_TRUE(std::is_sorted(recipe_names().begin(), recipe_names().end()));
  for (const auto& name : recipe_names()) {
    const auto recipe = find_recipe(name);
    SCOPED_TRACE(name);
    const std::string method = recipe["method"];
    const std::set<std::string> keys{
        "method",  "description", "source",    "epochs",   "batch_size", "precision", "batch_norm_images",
        "encoder", method,        "optimizer", "schedule", "augment"};
    for (const auto& [key, value] : recipe.items()) EXPECT_TRUE(keys.contains(key)) << key;
    for (const auto& key : keys) EXPECT_TRUE(recipe.contains(key)) << key;
    EXPECT_EQ(recipe["augment"]["preset"], method == "moco" ? "simclr" : method);
    const Read read(recipe);
    Optimizer({}, read.optimizer);
    const std::int64_t epochs = recipe["epochs"];
    Schedule(read.schedule, read.optimizer.lr, 100, 100 * epochs);
    if (method == "swav") {
      const auto& swav = read.method.get<SwavOptions>("swav");
      EXPECT_EQ(swav.queue_length % recipe["batch_size"].get<std::int64_t>(), 0);
      EXPECT_EQ(swav.crops_for_assign, recipe["augment"]["global_count"]);
    }
    const auto on_disk = read_json_file(std::string(UNLABEL_SOURCE_DIR "/ssl/planning/recipes/") + name + ".json");
    EXPECT_EQ(on_disk, recipe);
  }
}

TEST(Recipe, HasTheTenPublishedScripts) {
  struct Published {
    const char* name;
    int epochs, batch;
    double lr, final_lr, warmup, warmup_start;
    int freeze, queue, queue_epoch, width, hidden, locals;
    double global_low, local_low;
    int norm_images;
  };
  const Published published[] = {
      {"swav_100ep", 100, 4096, 4.8, .0048, 10, .3, 313, 0, 15, 64, 2048, 6, .14, .05, 512},
      {"swav_200ep", 200, 4096, 4.8, .0048, 10, .3, 313, 0, 15, 64, 2048, 6, .14, .05, 512},
      {"swav_400ep", 400, 4096, 4.8, .0048, 10, .3, 313, 0, 15, 64, 2048, 6, .14, .05, 512},
      {"swav_800ep", 800, 4096, 4.8, .0048, 10, .3, 313, 0, 15, 64, 2048, 6, .14, .05, 512},
      {"swav_400ep_2x224", 400, 4096, 4.8, .0048, 10, .3, 313, 0, 15, 64, 2048, 0, .08, 0, 512},
      {"swav_200ep_bs256", 200, 256, .6, .0006, 0, 0, 5005, 3840, 15, 64, 2048, 6, .14, .05, 0},
      {"swav_400ep_bs256", 400, 256, .6, .0006, 0, 0, 5005, 3840, 15, 64, 2048, 6, .14, .05, 0},
      {"swav_rn50w2_400ep", 400, 4096, 4.8, .0048, 10, .3, 313, 0, 15, 128, 8192, 4, .14, .05, 512},
      {"swav_rn50w4_400ep", 400, 2560, 4.8, .0048, 10, .3, 313, 2560, 0, 256, 8192, 4, .08, .08, 320},
      {"swav_rn50w5_400ep", 400, 1536, 4.8, 0, 10, .1875, 313, 1536, 0, 320, 10240, 4, .14, .05, 192},
  };
  for (const auto& p : published) {
    SCOPED_TRACE(p.name);
    const auto recipe = find_recipe(p.name);
    const Read read(recipe);
    EXPECT_EQ(recipe["epochs"], p.epochs);
    EXPECT_EQ(recipe["batch_size"], p.batch);
    EXPECT_EQ(recipe["precision"], "fp16");
    EXPECT_EQ(recipe["batch_norm_images"], p.norm_images);
    EXPECT_EQ(read.encoder.arch, "resnet50");
    EXPECT_EQ(read.encoder.width, p.width);
    EXPECT_EQ(read.encoder.stem, "imagenet");
    EXPECT_EQ(read.optimizer.kind, "larc");
    EXPECT_EQ(read.optimizer.lr, p.lr);
    EXPECT_EQ(read.optimizer.momentum, 0.9);
    EXPECT_EQ(read.optimizer.weight_decay, 1e-6);
    EXPECT_EQ(read.optimizer.trust_coefficient, 0.001);
    EXPECT_FALSE(read.optimizer.clip || read.optimizer.exclude_bias_and_norm || read.optimizer.nesterov);
    EXPECT_EQ(read.schedule.kind, "cosine");
    EXPECT_EQ(read.schedule.final_lr, p.final_lr);
    EXPECT_EQ(read.schedule.warmup_epochs, p.warmup);
    EXPECT_EQ(read.schedule.warmup_start_lr, p.warmup_start);
    const auto& swav = read.method.get<SwavOptions>("swav");
    EXPECT_EQ(swav.prototypes, 3000);
    EXPECT_EQ(swav.projection_dim, 128);
    EXPECT_EQ(swav.temperature, 0.1);
    EXPECT_EQ(swav.epsilon, 0.05);
    EXPECT_EQ(swav.sinkhorn_iterations, 3);
    EXPECT_EQ(swav.hidden_dim, p.hidden);
    EXPECT_EQ(swav.freeze_prototypes_iterations, p.freeze);
    EXPECT_EQ(swav.queue_length, p.queue);
    EXPECT_EQ(swav.queue_start_epoch, p.queue_epoch);
    const auto& augment = recipe["augment"];
    EXPECT_EQ(augment["global_size"], 224);
    EXPECT_EQ(augment["global_count"], 2);
    EXPECT_EQ(augment["global_scale"], json({p.global_low, 1.0}));
    EXPECT_EQ(augment["local_count"], p.locals);
    if (p.locals > 0) {
      EXPECT_EQ(augment["local_size"], 96);
      EXPECT_EQ(augment["local_scale"], json({p.local_low, 0.14}));
    }
  }
}

TEST(Recipe, HasByolsFourPresets) {
  struct Published {
    const char* name;
    int epochs;
    double lr, weight_decay, momentum;
  };
  const Published published[] = {{"byol_40ep", 40, 0.45, 1e-6, 0.97},
                                 {"byol_100ep", 100, 0.45, 1e-6, 0.99},
                                 {"byol_300ep", 300, 0.3, 1e-6, 0.99},
                                 {"byol_1000ep", 1000, 0.2, 1.5e-6, 0.996}};
  for (const auto& p : published) {
    SCOPED_TRACE(p.name);
    const auto recipe = find_recipe(p.name);
    const Read read(recipe);
    EXPECT_EQ(recipe["epochs"], p.epochs);
    EXPECT_EQ(recipe["batch_size"], 4096);
    EXPECT_EQ(recipe["batch_norm_images"], 0);
    EXPECT_EQ(recipe["augment"], json({{"preset", "byol"}, {"global_size", 224}}));
    EXPECT_TRUE(read.encoder.zero_init_residual);
    EXPECT_EQ(read.encoder.arch, "resnet50");
    EXPECT_EQ(read.method.get<ByolOptions>("byol").hidden_dim, 4096);
    EXPECT_EQ(read.method.get<ByolOptions>("byol").projection_dim, 256);
    EXPECT_EQ(read.method.get<ByolOptions>("byol").base_momentum, p.momentum);
    EXPECT_EQ(read.optimizer.kind, "lars");
    EXPECT_DOUBLE_EQ(read.optimizer.lr, p.lr * 4096 / 256);
    EXPECT_EQ(read.optimizer.weight_decay, p.weight_decay);
    EXPECT_EQ(read.optimizer.momentum, 0.9);
    EXPECT_EQ(read.optimizer.trust_coefficient, 0.001);
    EXPECT_TRUE(read.optimizer.exclude_bias_and_norm);
    EXPECT_EQ(read.schedule.kind, "cosine");
    EXPECT_EQ(read.schedule.warmup_epochs, 10);
    EXPECT_EQ(read.schedule.warmup_start_lr, 0);
    EXPECT_FALSE(read.schedule.warmup_reaches_peak);
    EXPECT_EQ(read.schedule.final_lr, 0);
  }
}

TEST(Recipe, HasTheContrastiveOnes) {
  for (const auto& [name, epochs] : {std::pair{"simclr_100ep", 100}, std::pair{"simclr_1000ep", 1000}}) {
    SCOPED_TRACE(name);
    const auto recipe = find_recipe(name);
    const Read read(recipe);
    EXPECT_EQ(recipe["epochs"], epochs);
    EXPECT_EQ(recipe["batch_size"], 4096);
    EXPECT_DOUBLE_EQ(read.optimizer.lr, 0.3 * 4096 / 256);
    EXPECT_EQ(read.optimizer.kind, "lars");
    EXPECT_EQ(read.optimizer.weight_decay, 1e-6);
    EXPECT_TRUE(read.optimizer.exclude_bias_and_norm);
    EXPECT_FALSE(read.schedule.warmup_reaches_peak);
    EXPECT_EQ(read.method.get<SimclrOptions>("simclr").temperature, 0.1);
    EXPECT_EQ(recipe["augment"]["interpolation"], "bicubic");
    EXPECT_EQ(recipe["augment"]["std"], json({1, 1, 1}));
    EXPECT_EQ(read.method.get<SimclrOptions>("simclr").hidden_dim, 2048);
    EXPECT_EQ(read.method.get<SimclrOptions>("simclr").projection_dim, 128);
  }
  for (const auto& [name, epochs] : {std::pair{"moco_v2_200ep", 200}, std::pair{"moco_v2_800ep", 800}}) {
    SCOPED_TRACE(name);
    const auto recipe = find_recipe(name);
    const Read read(recipe);
    EXPECT_EQ(recipe["epochs"], epochs);
    EXPECT_EQ(recipe["batch_size"], 256);
    EXPECT_EQ(read.optimizer.kind, "sgd");
    EXPECT_EQ(read.optimizer.lr, 0.03);
    EXPECT_EQ(read.optimizer.weight_decay, 1e-4);
    EXPECT_TRUE(read.schedule.by_epoch);
    EXPECT_EQ(read.method.get<MocoOptions>("moco").temperature, 0.2);
    EXPECT_EQ(read.method.get<MocoOptions>("moco").momentum, 0.999);
    EXPECT_EQ(read.method.get<MocoOptions>("moco").queue_length, 65536);
    EXPECT_EQ(read.method.get<MocoOptions>("moco").norm_group, 32);
    EXPECT_EQ(recipe["batch_norm_images"], 32);
    EXPECT_EQ(recipe["augment"]["jitter"], 0.5);
  }
}

TEST(Recipe, HasDeepClusterV2sThree) {
  struct Published {
    const char* name;
    int epochs, size, locals;
    double low;
  };
  for (const auto& p :
       {Published{"deepcluster_v2_800ep", 800, 224, 6, .14}, Published{"deepcluster_v2_400ep", 400, 160, 4, .08},
        Published{"deepcluster_v2_400ep_2x224", 400, 224, 0, .08}}) {
    SCOPED_TRACE(p.name);
    const auto recipe = find_recipe(p.name);
    const Read read(recipe);
    EXPECT_EQ(recipe["epochs"], p.epochs);
    EXPECT_EQ(recipe["batch_size"], 4096);
    EXPECT_EQ(recipe["precision"], "float32");
    EXPECT_EQ(recipe["batch_norm_images"], 512);
    EXPECT_EQ(read.optimizer.kind, "larc");
    EXPECT_EQ(read.optimizer.lr, 4.8);
    EXPECT_EQ(read.schedule.final_lr, .0048);
    EXPECT_EQ(read.schedule.warmup_start_lr, .3);
    const auto& own = read.method.get<DeepClusterV2Options>("deepcluster_v2");
    EXPECT_EQ(own.prototypes, (std::vector<std::int64_t>{3000, 3000, 3000}));
    EXPECT_EQ(own.freeze_prototypes_iterations, 300000);
    EXPECT_EQ(own.kmeans_iterations, 10);
    EXPECT_FALSE(own.as_released);
    EXPECT_EQ(recipe["augment"]["global_size"], p.size);
    EXPECT_EQ(recipe["augment"]["local_count"], p.locals);
    EXPECT_EQ(recipe["augment"]["global_scale"], json({p.low, 1.0}));
  }
}

TEST(Recipe, HasDeepClustersTwoNetworks) {
  for (const auto& [name, arch] : {std::pair{"deepcluster_alexnet", "alexnet"}, {"deepcluster_vgg16", "vgg16"}}) {
    SCOPED_TRACE(name);
    const auto recipe = find_recipe(name);
    const Read read(recipe);
    EXPECT_EQ(recipe["epochs"], 200);
    EXPECT_EQ(recipe["batch_size"], 256);
    EXPECT_EQ(read.encoder.arch, arch);
    EXPECT_TRUE(read.encoder.sobel);
    EXPECT_EQ(read.optimizer.kind, "sgd");
    EXPECT_EQ(read.optimizer.lr, 0.05);
    EXPECT_EQ(read.optimizer.weight_decay, 1e-5);
    EXPECT_EQ(read.schedule.kind, "constant");
    EXPECT_EQ(read.method.get<DeepClusterOptions>("deepcluster").clusters, 10000);
    EXPECT_EQ(read.method.get<DeepClusterOptions>("deepcluster").pca_dim, 256);
    EXPECT_EQ(read.method.get<DeepClusterOptions>("deepcluster").kmeans_iterations, 20);
    EXPECT_EQ(read.method.get<DeepClusterOptions>("deepcluster").top_layer_lr, 0.05);
    EXPECT_EQ(read.method.get<DeepClusterOptions>("deepcluster").sampling, "paper");
  }
}

TEST(Recipe, IsFoundByNameOrFile) {
  const auto path = std::filesystem::temp_directory_path() / "unlabel_recipe_test.json";
  std::ofstream(path) << R"({"epochs": 3})";
  EXPECT_EQ(find_recipe(path.string()), json({{"epochs", 3}}));
  std::ofstream(path) << "[1]";
  EXPECT_THROW(find_recipe(path.string()), UsageError);
  std::filesystem::remove(path);
  EXPECT_THROW(find_recipe(path.string()), UsageError);
  const auto message = refusal([] { find_recipe("swav_100eq"); });
  EXPECT_NE(message.find("did you mean 'swav_100ep'"), std::string::npos) << message;
  EXPECT_NE(message.find("cifar10_small"), std::string::npos) << message;
}

TEST(Methods, AreMadeByName) {
  MethodOptions options;
  table(options).from_json(
      {{"swav.prototypes", 10}, {"deepcluster.clusters", 10}, {"deepcluster_v2.prototypes", {10, 20}}}, "test");
  const MethodContext context{
      .encoder = {.arch = "resnet18", .width = 2, .stem = "small"}, .images = 100, .global_batch = 8};
  for (const auto& name : method_names()) EXPECT_NE(make_method(name, options, context), nullptr) << name;
  const auto method = make_method("swav", options, context);
  EXPECT_EQ(method->named_parameters()["prototypes.weight"].size(0), 10);
  const auto groups = method->parameter_groups();
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].names.size(), method->parameters().size());
  EXPECT_THROW(make_method("swaw", options, context), UsageError);
}

struct MineOptions {
  double strength = 1;
};
OptionTable table(MineOptions& options) {
  OptionTable t;
  t.add("strength", options.strength, "of it");
  return t;
}

struct Mine : Method {
  Mine(const MineOptions& options, const MethodContext& context)
      : strength(options.strength), backbone(make_image_encoder(context.encoder)) {}
  Loss loss(const Batch&, const Step&) override { return {}; }
  Encoder& encoder() override { return *backbone; }
  double strength;
  std::shared_ptr<ImageEncoder> backbone;
};

TEST(Methods, CanBeAdded) {
  const auto make = [](const AnyOptions&, const MethodContext&) { return std::shared_ptr<Method>(); };
  for (const char* name : {"swav", "", "My-Method"}) EXPECT_THROW(add_method({name, make}), UsageError) << name;
  EXPECT_THROW(add_method({"mine", nullptr}), UsageError);
  const auto warn = [](const nlohmann::json& settings, std::int64_t images) {
    return std::vector<std::string>{concat(settings.at("mine").at("strength"), " is much for ", images)};
  };
  add_method(method_spec<Mine, MineOptions>("mine", {.warnings = warn, .paper = "mine_100ep"}));
  EXPECT_THROW(add_method({"mine", make}), UsageError) << "it is there already";
  const auto& spec = find_method("mine");
  MethodOptions options, others;
  table(options).from_json({{"mine.strength", 2}}, "test");
  EXPECT_EQ(others.get<MineOptions>("mine").strength, 1) << "each has its own";
  const MethodOptions copy = options;
  const auto mine =
      std::dynamic_pointer_cast<Mine>(make_method("mine", copy, {.encoder = {.arch = "resnet18", .width = 2}}));
  ASSERT_NE(mine, nullptr);
  EXPECT_EQ(mine->strength, 2);
  EXPECT_THROW(make_plan(spec.plan, {100, 32, {{"method", "mine"}}}), UsageError) << "it has no plan";
  EXPECT_EQ(plan_warnings(spec.plan, {{"method", "mine"}, {"mine", {{"strength", 3}}}}, 2000, 32),
            std::vector<std::string>{"3 is much for 2000"});
  EXPECT_EQ(spec.plan.paper, "mine_100ep");
}

}  // namespace
}  // namespace unlabel::ssl
