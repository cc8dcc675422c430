#include <unlabel/augment/error.h>
#include <unlabel/ssl/methods.h>
#include <unlabel/ssl/planning/recipe.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <tuple>

namespace unlabel::ssl {
namespace {

using nlohmann::json;

Plan plan(std::int64_t images, int side, json given = json::object()) {
  if (!given.contains("method")) given["method"] = "swav";
  const auto& method = find_method(given["method"]);
  return make_plan(method.plan, {images, side, std::move(given), encoder_facts});
}

bool warns(const Plan& plan, const std::string& text) {
  for (const auto& warning : plan.warnings)
    if (warning.find(text) != std::string::npos) return true;
  return false;
}

TEST(Planner, ComesToThePublishedSettingsOnImageNet) {
  const auto large = plan(1281167, 375, {{"batch_size", 4096}}).recipe;
  EXPECT_EQ(large["encoder"], json({{"arch", "resnet50"}, {"stem", "imagenet"}}));
  EXPECT_EQ(large["augment"]["global_size"], 224);
  EXPECT_EQ(large["augment"]["local_size"], 96);
  EXPECT_EQ(large["augment"]["local_count"], 6);
  EXPECT_FALSE(large["augment"].contains("global_scale"));
  EXPECT_NEAR(large["optimizer"]["lr"].get<double>(), 4.8, 1e-12);
  EXPECT_NEAR(large["schedule"]["final_lr"].get<double>(), 0.0048, 1e-12);
  EXPECT_EQ(large["schedule"]["warmup_epochs"], 10.0);
  EXPECT_NEAR(large["schedule"]["warmup_start_lr"].get<double>(), 0.3, 1e-12);
  EXPECT_EQ(large["swav"]["prototypes"], 3000);
  EXPECT_EQ(large["swav"]["hidden_dim"], 2048);
  EXPECT_EQ(large["swav"]["queue_length"], 0);
  EXPECT_NEAR(large["swav"]["freeze_prototypes_iterations"].get<double>(), 313, 1);

  const auto small = plan(1281167, 375, {{"batch_size", 256}, {"epochs", 200}}).recipe;
  EXPECT_NEAR(small["optimizer"]["lr"].get<double>(), 0.6, 1e-12);
  EXPECT_EQ(small["schedule"]["warmup_epochs"], 0.0);
  EXPECT_EQ(small["swav"]["queue_length"], 3840);
  EXPECT_EQ(small["swav"]["queue_start_epoch"], 15);
  EXPECT_NEAR(small["swav"]["freeze_prototypes_iterations"].get<double>(), 5005, 1);
}

TEST(Planner, TakesTheRateBetweenThePublishedOnes) {
  const auto rate = [](std::int64_t batch) {
    return plan(1281167, 300, {{"batch_size", batch}}).recipe["optimizer"]["lr"].get<double>();
  };
  EXPECT_NEAR(rate(1024), 0.6 * std::sqrt(8.0), 0.05);  // half way between, in logarithms
  double before = 0;
  for (const std::int64_t batch : {32, 64, 128, 256, 512, 1024, 2048, 4096, 8192}) {
    EXPECT_GT(rate(batch), before);
    before = rate(batch);
  }
}

TEST(Planner, NeverEnlargesImages) {
  for (int side = 1; side < 400; ++side) {
    const auto p = plan(20000, side);
    const auto& augment = p.recipe["augment"];
    EXPECT_LE(augment["global_size"], side);
    EXPECT_GE(augment["global_size"], 1);
    if (augment["local_count"] > 0) {
      EXPECT_LE(augment["local_size"], augment["global_size"]) << side;
    }
    EXPECT_EQ(p.recipe["encoder"]["stem"], side <= 64 ? "small" : "imagenet");
    EXPECT_TRUE(p.warnings.empty()) << side << ": " << p.warnings[0];
  }
}

TEST(Planner, MakesPlansThatWork) {
  for (const std::int64_t images : {2, 10, 100, 1000, 5000, 50000, 60000, 300000, 1281167, 20000000}) {
    SCOPED_TRACE(images);
    const auto p = plan(images, 120);
    const auto& r = p.recipe;
    const std::int64_t batch = r["batch_size"], prototypes = r["swav"]["prototypes"], queue = r["swav"]["queue_length"];
    EXPECT_LE(batch, images);
    EXPECT_LE(prototypes, std::max<std::int64_t>(2, images / 4));
    EXPECT_GE(prototypes, 2);
    EXPECT_LE(prototypes, 2 * (batch + queue));
    EXPECT_EQ(queue % batch, 0);
    EXPECT_GT(r["optimizer"]["lr"], 0);
    EXPECT_EQ(warns(p, "too few to learn"), images < 1000);
    EXPECT_FALSE(warns(p, "prototypes"));
    EXPECT_FALSE(warns(p, "queue"));
    EXPECT_FALSE(p.choices.empty());
    for (const auto& choice : p.choices) {
      EXPECT_FALSE(choice.reason.empty()) << choice.setting;
      EXPECT_EQ(choice.reason.find('\n'), std::string::npos);
    }
  }
}

const PlannedSetting& choice_of(const Plan& plan, const std::string& setting) {
  const auto found = std::find_if(plan.choices.begin(), plan.choices.end(),
                                  [&](const auto& choice) { return choice.setting == setting; });
  if (found == plan.choices.end()) throw std::out_of_range("nothing was planned for " + setting);
  return *found;
}

// With LARS and LARC such runs hardly move (docs/results.md).
TEST(Planner, FewUpdatesAreBySgd) {
  for (const auto& [method, rate, published] :
       {std::tuple{"swav", 0.4, "larc"}, std::tuple{"deepcluster_v2", 0.4, "larc"}, std::tuple{"byol", 0.4, "lars"}})
    for (const auto& [images, batch, epochs] : {std::tuple{2000, 64, 10}, std::tuple{20000, 256, 4}}) {
      SCOPED_TRACE(concat(method, " ", images));
      const auto p = plan(images, 32, {{"method", method}, {"batch_size", batch}, {"epochs", epochs}});
      EXPECT_EQ(p.recipe["optimizer"]["kind"], "sgd");
      EXPECT_NEAR(p.recipe["optimizer"]["lr"].get<double>(), rate * batch / 256, 1e-9);
      EXPECT_EQ(p.recipe["optimizer"]["weight_decay"], 5e-4);
      EXPECT_EQ(plan(images, 32, {{"method", method}, {"epochs", 1000}}).recipe["optimizer"]["kind"], published);
      // What is given stays, with the rate that goes with it.
      const auto given =
          plan(images, 32, {{"method", method}, {"epochs", epochs}, {"optimizer", {{"kind", published}}}});
      EXPECT_EQ(given.recipe["optimizer"]["weight_decay"], 1e-6);
    }
}

// With the paper's epsilon, LARC and local crops such runs stay at ln K, or gain half a point (docs/results.md).
TEST(Planner, SwavLearnsInFewUpdates) {
  for (const auto& [images, side, batch, epochs] : {std::tuple{2000, 32, 64, 10}, std::tuple{2000, 64, 64, 10},
                                                    std::tuple{2240, 128, 128, 20}, std::tuple{20000, 32, 256, 4}}) {
    SCOPED_TRACE(images);
    const auto p = plan(images, side, {{"batch_size", batch}, {"epochs", epochs}});
    EXPECT_EQ(p.recipe["swav"]["epsilon"], 0.03);
    EXPECT_EQ(p.recipe["optimizer"]["kind"], "sgd");
    EXPECT_NEAR(p.recipe["optimizer"]["lr"].get<double>(), (side <= 32 ? 0.4 : 0.2) * batch / 256, 1e-9);
    EXPECT_EQ(p.recipe["schedule"]["final_lr"], 0.0);
    EXPECT_EQ(p.recipe["augment"]["local_count"], 0);
    EXPECT_EQ(p.recipe["augment"]["global_scale"], json({0.4, 1.0}));
    EXPECT_EQ(p.recipe["augment"]["blur"], false);
    EXPECT_EQ(p.recipe["augment"]["jitter"], 0.5);
    const auto updates = concat(images / batch * epochs, " updates");
    EXPECT_NE(choice_of(p, "optimizer.kind").reason.find(updates), std::string::npos);
    EXPECT_NE(choice_of(p, "augment.local_count").reason.find(updates), std::string::npos);
  }
  // Longer runs of larger images have the paper's views.
  const auto longer = plan(2240, 128, {{"epochs", 400}}).recipe["augment"];
  EXPECT_EQ(longer["local_count"], 6);
  for (const char* setting : {"global_scale", "blur", "jitter"}) EXPECT_FALSE(longer.contains(setting)) << setting;
  // What is given stays, with the rate that goes with it.
  const auto larc = plan(2000, 32, {{"epochs", 10}, {"optimizer", {{"kind", "larc"}}}});
  EXPECT_NEAR(larc.recipe["optimizer"]["lr"].get<double>(), 0.6 * std::pow(64.0 / 256, 0.75), 0.01);
  EXPECT_EQ(larc.recipe["optimizer"]["weight_decay"], 1e-6);
  EXPECT_EQ(plan(2000, 32, {{"epochs", 10}, {"augment", {{"local_count", 2}}}}).recipe["augment"]["local_size"], 16);
}

TEST(Planner, SwavsEpsilonFitsItsPrototypes) {
  const auto epsilon = [](std::int64_t images, json given = json::object()) {
    return plan(images, 120, std::move(given)).recipe["swav"]["epsilon"].get<double>();
  };
  EXPECT_EQ(epsilon(1200), 0.03);  // of long runs too
  EXPECT_EQ(epsilon(20000), 0.03);
  EXPECT_EQ(epsilon(1281167), 0.05);
  EXPECT_EQ(epsilon(20000, {{"swav", {{"prototypes", 3000}}}}), 0.05);
  EXPECT_EQ(epsilon(1281167, {{"swav", {{"prototypes", 64}}}}), 0.03);
  EXPECT_EQ(epsilon(1281167, {{"swav", {{"prototypes", 64}, {"epsilon", 0.04}}}}), 0.04);
}

TEST(Planner, FollowsWhatIsGiven) {
  const auto p = plan(50000, 32,
                      {{"batch_size", 512},
                       {"epochs", 6},
                       {"encoder", {{"arch", "resnet18"}, {"width", 16}}},
                       {"swav", {{"prototypes", 300}}}});
  EXPECT_EQ(p.recipe["batch_size"], 512);
  EXPECT_EQ(p.recipe["epochs"], 6);
  EXPECT_EQ(p.recipe["swav"]["prototypes"], 300);
  EXPECT_EQ(p.recipe["swav"]["hidden_dim"], 128);
  EXPECT_EQ(p.recipe["swav"]["freeze_prototypes_iterations"], 97);
  for (const auto& choice : p.choices)
    EXPECT_TRUE(choice.setting != "batch_size" && choice.setting != "epochs" && choice.setting != "swav.prototypes");
  EXPECT_THROW(plan(100, 32, {{"batch_size", "many"}}), UsageError);
  EXPECT_THROW(plan(100, 32, {{"augment", 20}}), UsageError);
  EXPECT_THROW(plan(100, 32, {{"epochs", 1e41}}), UsageError);
  EXPECT_THROW(plan(100, 32, {{"epochs", 1.5}}), UsageError);
  EXPECT_THROW(plan(100, 32, {{"epochs", std::numeric_limits<std::uint64_t>::max()}}), UsageError);
  const json heads{{"prototypes", {3, 1e41}}};
  EXPECT_THROW(plan(100, 32, {{"method", "deepcluster_v2"}, {"deepcluster_v2", heads}}), UsageError);
  EXPECT_THROW(plan(100, 32, {{"swav", {1, 2}}}), UsageError);
  EXPECT_THROW(plan(0, 32), UsageError);
  for (const char* setting : {"epochs", "batch_size"})
    EXPECT_THROW(plan(100, 32, {{setting, std::numeric_limits<std::int64_t>::max()}}), UsageError) << setting;
}

TEST(Planner, WarnsWhereItCannotWork) {
  EXPECT_TRUE(plan(50000, 32).warnings.empty());
  EXPECT_TRUE(warns(plan(5000, 32, {{"swav", {{"prototypes", 6000}}}}), "6000 prototypes for 5000 images"));
  EXPECT_TRUE(warns(plan(500000, 224, {{"batch_size", 64}, {"swav", {{"prototypes", 3000}, {"queue_length", 0}}}}),
                    "3000 prototypes for 64 assigned samples"));
  EXPECT_FALSE(warns(plan(500000, 224, {{"batch_size", 64}, {"swav", {{"prototypes", 3000}}}}), "prototypes"));
  EXPECT_TRUE(warns(plan(5000, 32, {{"batch_size", 8000}}), "a batch of 8000 is larger than the data of 5000"));
  EXPECT_TRUE(warns(plan(50000, 32, {{"augment", {{"global_size", 224}}}}), "crops of 224 pixels"));
  EXPECT_TRUE(warns(plan(50000, 32, {{"swav", {{"queue_length", 100}}}}), "shorter than a batch"));
  EXPECT_TRUE(warns(plan(50000, 32, {{"epochs", 10}, {"swav", {{"queue_length", 2560}, {"queue_start_epoch", 15}}}}),
                    "never used"));
  EXPECT_TRUE(warns(plan(50000, 32, {{"epochs", 1}, {"swav", {{"freeze_prototypes_iterations", 313}}}}), "frozen"));
  EXPECT_TRUE(warns(plan(50000, 32, {{"batch_size", 8}}), "small for batch statistics"));
}

TEST(Planner, TellsWhichNumberOfUpdatesLearns) {
  // 31 updates an epoch of 2,000 images in batches of 64.
  EXPECT_TRUE(warns(plan(2000, 32, {{"batch_size", 64}, {"epochs", 3}}),
                    "93 updates are too few to learn much: --epochs 10 makes 310"));
  EXPECT_FALSE(warns(plan(2000, 32, {{"batch_size", 64}, {"epochs", 4}}), "updates"));
  EXPECT_FALSE(warns(plan(2000, 32, {{"batch_size", 64}, {"epochs", 1}, {"init", "weights"}}), "updates"));
  EXPECT_TRUE(warns(plan(50000, 32, {{"batch_size", 50000}, {"epochs", 99}}), "99 updates are too few"));
  // DeepCluster, whose features settle sooner.
  const auto deepcluster = [](int epochs) {
    return plan(2000, 32, {{"method", "deepcluster"}, {"batch_size", 200}, {"epochs", epochs}});
  };
  EXPECT_TRUE(warns(deepcluster(2), "20 updates are too few to learn much: --epochs 30 makes 300"));
  EXPECT_FALSE(warns(deepcluster(3), "updates"));
  EXPECT_FALSE(warns(plan(50000, 32, {{"batch_size", 50000}, {"epochs", 2147483647}}), "updates"));
}

TEST(Planner, OffersOnlyAQueueThatTheDataFill) {
  const auto offered = [](std::int64_t images) {
    return plan(images, 32, {{"batch_size", 128}, {"swav", {{"prototypes", 3000}, {"queue_length", 0}}}});
  };
  EXPECT_TRUE(warns(offered(10000), "--swav.queue-length 3840"));
  EXPECT_TRUE(warns(offered(500), "3000 prototypes for 128 assigned samples"));
  EXPECT_FALSE(warns(offered(500), "--swav.queue-length"));
}

TEST(Planner, GivesAlexNetAndVggWhatTheyTake) {
  for (const char* arch : {"alexnet", "vgg16"})
    for (const char* method : {"deepcluster", "byol", "simclr"}) {
      const auto p = plan(5000, 96, {{"method", method}, {"encoder", {{"arch", arch}}}});
      EXPECT_EQ(p.recipe["augment"]["global_size"], 224);
      EXPECT_FALSE(p.recipe["encoder"].contains("stem"));
      EXPECT_FALSE(p.recipe["encoder"].contains("zero_init_residual"));
      EXPECT_TRUE(warns(p, "give a ResNet, which takes smaller ones"));
      EXPECT_FALSE(warns(p, "--augment.global-size"));
    }
}

TEST(Planner, NormalisesKeysInGroupsThatFit) {
  const auto group = [](json given) {
    given["method"] = "moco";
    return plan(5000, 32, std::move(given)).recipe["moco"]["norm_group"].get<std::int64_t>();
  };
  EXPECT_EQ(group({{"batch_size", 256}}), 32);
  EXPECT_EQ(group({{"batch_size", 48}}), 24);
  EXPECT_EQ(group({{"batch_size", 256}, {"micro_batch", 16}}), 16);
  EXPECT_EQ(group({{"batch_size", 96}, {"micro_batch", 48}}), 24);
  // A group of one or two is what collapses.
  EXPECT_EQ(group({{"batch_size", 61}}), 61);
  EXPECT_EQ(group({{"batch_size", 254}}), 127);
  EXPECT_EQ(group({{"batch_size", 1021}}), 1021);
  EXPECT_EQ(group({{"batch_size", 12}}), 12);
  const auto warned = [](std::int64_t together, std::int64_t batch) {
    return warns(plan(5000, 32, {{"method", "moco"}, {"batch_size", batch}, {"moco", {{"norm_group", together}}}}),
                 "keys are normalized by the statistics of");
  };
  EXPECT_TRUE(warned(2, 256));
  EXPECT_FALSE(warned(16, 256));
  EXPECT_FALSE(warned(12, 12));
}

TEST(Planner, ComesToByolsPublishedSettingsOnImageNet) {
  for (const auto& [epochs, base, momentum] : {std::tuple{40, 0.45, 0.97}, std::tuple{1000, 0.2, 0.996}}) {
    const auto r =
        plan(1281167, 375, {{"method", "byol"}, {"batch_size", 4096}, {"epochs", epochs}, {"encoder", {{"width", 64}}}})
            .recipe;
    EXPECT_EQ(r["encoder"]["arch"], "resnet50");
    EXPECT_EQ(r["augment"]["preset"], "byol");
    EXPECT_EQ(r["augment"]["global_size"], 224);
    EXPECT_EQ(r["optimizer"]["kind"], "lars");
    EXPECT_TRUE(r["optimizer"]["exclude_bias_and_norm"]);
    EXPECT_NEAR(r["optimizer"]["lr"].get<double>(), base * 16, 1e-12);
    EXPECT_EQ(r["optimizer"]["weight_decay"], epochs == 1000 ? 1.5e-6 : 1e-6);
    EXPECT_EQ(r["schedule"]["warmup_epochs"], std::min(10.0, epochs / 10.0));
    EXPECT_EQ(r["byol"]["hidden_dim"], 4096);
    EXPECT_EQ(r["byol"]["projection_dim"], 256);
    EXPECT_NEAR(r["byol"]["base_momentum"].get<double>(), momentum, 0.001);
  }
}

TEST(Planner, MakesByolPlansThatWork) {
  for (const std::int64_t images : {2, 100, 10000, 60000, 1281167, 20000000})
    for (const int side : {28, 64, 120, 400}) {
      const auto p = plan(images, side, {{"method", "byol"}});
      const double momentum = p.recipe["byol"]["base_momentum"];
      EXPECT_GE(momentum, 0.9);
      EXPECT_LT(momentum, 1);
      EXPECT_LE(p.recipe["augment"]["global_size"], side);
      EXPECT_FALSE(p.recipe.contains("swav"));
      EXPECT_EQ(p.warnings.size(), images < 1000 ? 1 : 0) << images << " of " << side;
    }
  EXPECT_THROW(plan(10000, 32, {{"method", "byol"}, {"optimizer", {{"kind", "adamw"}}}}), UsageError);
  EXPECT_THROW(plan(10000, 32, {{"method", "none"}}), UsageError);
}

TEST(Planner, MakesPlansForEveryMethod) {
  for (const char* method : {"byol", "deepcluster", "deepcluster_v2", "moco", "simclr", "swav"})
    for (const std::int64_t images : {2, 40, 1000, 10000, 60000, 1281167})
      for (const int side : {20, 28, 64, 65, 120, 400}) {
        SCOPED_TRACE(concat(method, ", ", images, " images of ", side));
        const auto p = plan(images, side, {{"method", method}});
        const std::int64_t batch = p.recipe["batch_size"];
        EXPECT_GE(batch, 1);
        EXPECT_LE(batch, images);
        EXPECT_LE(p.recipe["augment"]["global_size"], side);
        EXPECT_GT(p.recipe["optimizer"]["lr"], 0);
        EXPECT_TRUE(p.recipe.contains(method)) << "nothing of its own is planned";
        EXPECT_FALSE(p.choices.empty());
        for (const auto& choice : p.choices) EXPECT_FALSE(choice.reason.empty()) << choice.setting;
        EXPECT_EQ(p.warnings.empty(), images >= 1000) << p.warnings.size();
      }
}

TEST(Planner, ComesToThePublishedSettingsOfTheOthers) {
  const auto imagenet = [](const char* method, std::int64_t batch, std::int64_t epochs) {
    return plan(1281167, 375, {{"method", method}, {"batch_size", batch}, {"epochs", epochs}}).recipe;
  };
  const auto simclr = imagenet("simclr", 4096, 100);
  EXPECT_NEAR(simclr["optimizer"]["lr"].get<double>(), 4.8, 1e-9);
  EXPECT_EQ(simclr["simclr"]["temperature"], 0.1);
  EXPECT_EQ(simclr["simclr"]["hidden_dim"], 2048);
  const auto moco = imagenet("moco", 256, 200);
  EXPECT_NEAR(moco["optimizer"]["lr"].get<double>(), 0.03, 1e-9);
  EXPECT_EQ(moco["moco"]["queue_length"], 65536);
  EXPECT_NEAR(moco["moco"]["momentum"].get<double>(), 0.999, 2e-4);
  EXPECT_EQ(moco["moco"]["temperature"], 0.2);
  EXPECT_EQ(moco["augment"]["jitter"], 0.5);
  const auto deepcluster = imagenet("deepcluster", 256, 200);
  EXPECT_NEAR(deepcluster["deepcluster"]["clusters"].get<double>(), 10000, 20);
  EXPECT_EQ(deepcluster["optimizer"]["lr"], 0.05);
  EXPECT_EQ(deepcluster["encoder"]["sobel"], true);
  EXPECT_EQ(deepcluster["deepcluster"]["top_layer_lr"], 0.05);
  const auto second = imagenet("deepcluster_v2", 4096, 800);
  EXPECT_EQ(second["deepcluster_v2"]["prototypes"], json({3000, 3000, 3000}));
  EXPECT_NEAR(second["optimizer"]["lr"].get<double>(), 4.8, 1e-9);
}

TEST(Planner, ChangesRatesForFewSteps) {
  const auto small = [](const char* method) {
    return plan(10000, 32, {{"method", method}, {"batch_size", 128}, {"epochs", 10}}).recipe;
  };
  EXPECT_EQ(small("moco")["moco"]["momentum"], 0.99);
  EXPECT_EQ(small("deepcluster")["optimizer"]["lr"], 0.05);
  EXPECT_EQ(small("deepcluster")["deepcluster"]["top_layer_lr"], 0.5);
  const auto shorter = plan(2000, 32, {{"method", "deepcluster"}, {"epochs", 10}}).recipe;  // 31 steps of 64 an epoch
  EXPECT_EQ(shorter["optimizer"]["lr"], 0.05);
  EXPECT_EQ(shorter["deepcluster"]["top_layer_lr"], 0.22);
  const auto longer = plan(10000, 32, {{"method", "deepcluster"}, {"batch_size", 128}}).recipe;  // 400 epochs
  EXPECT_EQ(longer["optimizer"]["lr"], 0.025);
  EXPECT_EQ(longer["deepcluster"]["top_layer_lr"], 0.25);
}

TEST(Planner, LeavesThePrecisionToTheDevice) {
  for (const char* method : {"byol", "deepcluster", "deepcluster_v2", "moco", "simclr", "swav"}) {
    EXPECT_EQ(plan(10000, 32, {{"method", method}}).recipe["precision"], "auto") << method;
    EXPECT_EQ(plan(10000, 32, {{"method", method}, {"precision", "bf16"}}).recipe["precision"], "bf16") << method;
  }
  // So do the recipes for processors; the published ones say what the authors had.
  for (const auto& name : recipe_names())
    EXPECT_EQ(find_recipe(name).at("precision") == "auto", name == "cifar10_small" || name == "fashion_mnist") << name;
}

TEST(Planner, FindsNoFaultWithRecipes) {
  for (const auto& name : recipe_names()) {
    const bool imagenet = name != "cifar10_small" && name != "fashion_mnist";
    const auto recipe = find_recipe(name);
    const auto warnings = plan_warnings(find_method(recipe.at("method")).plan, recipe, imagenet ? 1281167 : 50000,
                                        imagenet ? 375 : 28 + 4 * (name == "cifar10_small"));
    EXPECT_TRUE(warnings.empty()) << name << ": " << warnings[0];
  }
}

}  // namespace
}  // namespace unlabel::ssl
