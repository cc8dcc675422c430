#include "killed_run.h"

// Runs that are killed, and go on as if they had not been; killed_runs_test.cpp has more of them.

namespace unlabel::launch {
namespace {

/// Where a killed run stands: the freeze ends after step 10, the queue fills from step 8 to 12 and is full from then on; 6 epochs of 4.
std::function<Arguments(const std::string&)> long_run(const std::string& data, const std::string& precision) {
  return [=](const std::string& out) {
    return with(small_run(data, out), {{"--precision", precision},
                                       {"--swav.freeze-prototypes-iterations", "10"},
                                       {"--swav.queue-start-epoch", "2"},
                                       {"--swav.queue-length", "64"},
                                       {"--checkpoint.every", "1"}});
  };
}

class CiResume : public testing::Test {
 protected:
  CiResume() { make_images(images, 64, 20, 4); }
  TemporaryFolder folder;
  std::string images = folder / "images";
};

TEST_F(CiResume, AKilledRunGoesOnAsIfItHadNotBeen) {
  KilledRun run(1, long_run(images, "float32"), 1);
  for (const std::size_t steps : {3, 9, 15}) run.kill_at(steps);  // frozen; the queue fills; full
  run.expect_equal_to_the_straight_run();
}

TEST_F(CiResume, SoDoFourRanksInBf16) {
  KilledRun run(4, long_run(images, "bf16"), 2);
  for (const std::size_t steps : {5, 13}) run.kill_at(steps);
  run.expect_equal_to_the_straight_run();
}

TEST_F(CiResume, AWriteThatIsKilledLeavesTheOneBefore) {
  KilledRun run(2, long_run(images, "float32"), 3);
  bool inside = false;
  for (int attempt = 0; attempt < 5 && !inside; ++attempt) inside = run.kill_inside_a_write();
  EXPECT_TRUE(inside) << "no attempt hit a write";
  run.expect_equal_to_the_straight_run();
}

}  // namespace
}  // namespace unlabel::launch
