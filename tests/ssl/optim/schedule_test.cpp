#include <unlabel/augment/error.h>
#include <unlabel/ssl/optim/schedule.h>

#include "refusal.h"
#include <gtest/gtest.h>

namespace unlabel::ssl {
namespace {

TEST(Schedule, EqualsTheReleasedSwav) {
  const auto golden = read_json_file(UNLABEL_SOURCE_DIR "/tests/golden/optimizer.json");
  for (const auto& c : golden["schedules"]) {
    ScheduleOptions options;
    options.warmup_start_lr = c["start"];
    options.final_lr = c["final"];
    options.warmup_epochs = c["warmup_epochs"];
    const std::int64_t steps = c["steps_per_epoch"], epochs = c["epochs"];
    const Schedule schedule(options, c["lr"], steps, steps * epochs);
    ASSERT_EQ(c["values"].size(), static_cast<std::size_t>(steps * epochs));
    for (std::int64_t t = 0; t < steps * epochs; ++t)
      EXPECT_NEAR(schedule(t), c["values"][t].get<double>(), 1e-15) << t;
    EXPECT_NEAR(schedule(steps * epochs + 5), options.final_lr, 1e-15);
  }
}

TEST(Schedule, HoldsTheRateDuringAnEpochAsPyTorchDoes) {
  const auto golden = read_json_file(UNLABEL_SOURCE_DIR "/tests/golden/optimizer.json")["by_epoch"];
  ScheduleOptions options;
  options.final_lr = golden["final"];
  options.by_epoch = true;
  const std::int64_t epochs = golden["epochs"];
  const Schedule schedule(options, golden["lr"], 4, 4 * epochs);
  for (std::int64_t t = 0; t < 4 * epochs; ++t)
    EXPECT_NEAR(schedule(t), golden["values"][t / 4].get<double>(), 1e-12) << t;
}

TEST(Schedule, FallsAtMilestones) {
  ScheduleOptions options;
  options.kind = "step";
  options.milestones = {2, 3};
  options.gamma = 0.1;
  const Schedule schedule(options, 1.0, 10, 50);
  EXPECT_EQ(schedule(0), 1.0);
  EXPECT_EQ(schedule(19), 1.0);
  EXPECT_NEAR(schedule(20), 0.1, 1e-16);
  EXPECT_NEAR(schedule(30), 0.01, 1e-16);
  EXPECT_NEAR(schedule(49), 0.01, 1e-16);
}

TEST(Schedule, TakesFractionsOfAnEpochToWarmUp) {
  ScheduleOptions options;
  options.kind = "constant";
  options.warmup_epochs = 0.5;
  const Schedule schedule(options, 2.0, 10, 20);
  EXPECT_EQ(schedule.warmup_iterations(), 5);
  EXPECT_EQ(schedule(0), 0.0);
  EXPECT_EQ(schedule(2), 1.0);
  EXPECT_EQ(schedule(4), 2.0);
  EXPECT_EQ(schedule(19), 2.0);
}

TEST(Schedule, RefusesWhatCannotBe) {
  const auto make = [](auto change) {
    ScheduleOptions options;
    change(options);
    return Schedule(options, 0.1, 10, 100);
  };
  EXPECT_THROW(make([](auto& o) { o.warmup_epochs = 11; }), UsageError);
  EXPECT_THROW(make([](auto& o) { o.final_lr = -1; }), UsageError);
  EXPECT_NO_THROW(make([](auto& o) { o.warmup_epochs = 10; }));
  const auto message = refusal([&] { make([](auto& o) { o.kind = "cosin"; }); });
  EXPECT_NE(message.find("did you mean 'cosine'"), std::string::npos) << message;
}

}  // namespace
}  // namespace unlabel::ssl
