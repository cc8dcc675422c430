#pragma once

#include "launch/program.h"
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

namespace unlabel::launch {

/// Waits, at most a minute, until a run has done steps.
inline void wait_for_steps(const std::string& metrics) {
  for (int i = 0; i < 600 && read_bytes(metrics).empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
}

/// Runs on 64 images of 20 pixels in four classes; each suite has a folder of its own.
class PretrainCase : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    make_images(*folder_ / "images", 64, 20, 4);
  }
  static void TearDownTestSuite() { delete folder_; }
  static std::string data() { return *folder_ / "images"; }
  static std::string out(const std::string& name) { return *folder_ / name; }

 private:
  inline static TemporaryFolder* folder_ = nullptr;
};

}  // namespace unlabel::launch
