#include "program.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <thread>
#include <vector>

// What long runs must not do: grow.

namespace unlabel::launch {
namespace {

TEST(SlowFootprint, MemoryIsFlatOver5000StepsAnd10Epochs) {
  const TemporaryFolder folder;
  make_images(folder / "images/train", 8192, 20, 4);
  make_images(folder / "images/test", 64, 20, 4, 1);
  const std::string out = folder / "run", metrics = out + "/metrics.jsonl";
  // 10 epochs of 512 steps, with checkpoints, kNN after each epoch, and a queue.
  Program program(Arguments{UNLABEL_BINARY_DIR "/unlabel"} +
                  with(small_run(folder / "images", out),
                       {{"--epochs", "10"}, {"--checkpoint.every", "100"}, {"--knn.every", "1"}}));
  const auto steps = [&] {
    const auto text = read_bytes(metrics);
    return std::count(text.begin(), text.end(), '\n');
  };
  // Most of the first 1,000 steps belongs to libraries that load, caches of kernels, and the allocator's first shape.
  std::int64_t early = 0, late = 0, at = 0;
  while (program.running()) {
    const std::int64_t bytes = program.resident_bytes();
    at = steps();
    if (at >= 500 && at < 1500) early = std::max(early, bytes);
    if (at >= 4000) late = std::max(late, bytes);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  const auto outcome = program.wait();
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  ASSERT_EQ(steps(), 5120);
  ASSERT_GT(early, 0);
  ASSERT_GT(late, 0);
  std::cout << "resident: " << early / 1048576 << " MiB in steps 500 to 1500, " << late / 1048576
            << " MiB from step 4000 on\n";
  // 4 MiB over 3,500 steps are 1.2 KiB a step; a step that kept its batch would add 50 KiB.
  EXPECT_LT(late, early + (std::int64_t{4} << 20));
}

}  // namespace
}  // namespace unlabel::launch
