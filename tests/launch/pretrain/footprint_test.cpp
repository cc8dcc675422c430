#include "launch/program.h"
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
  // Most of the first 1,000 steps belongs to libraries that load, caches of kernels, and the allocator's first shape. What
  // stays is judged by medians: kNN needs some MiB for a moment, and whether a sample meets that moment is chance. The
  // peak, which the kernel keeps, sees each of them.
  std::vector<std::int64_t> early, late;
  std::int64_t early_peak = 0, peak = 0;
  while (program.running()) {
    const auto memory = program.memory();
    const auto at = steps();
    if (memory.resident > 0 && at >= 500 && at < 1500) {
      early.push_back(memory.resident);
      early_peak = memory.peak;
    }
    if (memory.resident > 0 && at >= 4000 && at < 5100) {  // a program that ends reads its libraries once more
      late.push_back(memory.resident);
      peak = memory.peak;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  const auto outcome = program.wait();
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  ASSERT_EQ(steps(), 5120);
  ASSERT_GT(early.size(), 10u);
  ASSERT_GT(late.size(), 10u);
  const auto median = [](std::vector<std::int64_t> values) {
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
  };
  const auto mib = [](std::int64_t bytes) { return static_cast<double>(bytes) / 1048576; };
  std::cout << "resident, median: " << mib(median(early)) << " MiB in steps 500 to 1500, " << mib(median(late))
            << " MiB from step 4000 on; peak: " << mib(early_peak) << " MiB, " << mib(peak) << " MiB\n";
  // 4 MiB over 3,500 steps are 1.2 KiB a step; a step that kept its batch would add 50 KiB.
  EXPECT_LT(median(late), median(early) + (std::int64_t{4} << 20));
  EXPECT_LT(peak, early_peak + (std::int64_t{16} << 20));  // kNN's own blocks, where they happen to lie
}

}  // namespace
}  // namespace unlabel::launch
