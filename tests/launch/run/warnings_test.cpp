#include <unlabel/augment/error.h>
#include <unlabel/launch/run/command_output.h>

#include "data/temp_folder.h"
#include <gtest/gtest.h>

#include <fstream>

namespace unlabel::launch {
namespace {

TEST(Warnings, AreKeptInOrderAndOnce) {
  ::testing::internal::CaptureStderr();
  Warnings warnings;
  warnings.add("the first");
  warnings.add("the\nsecond");
  warnings.add("the first");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "warning: the first\nwarning: the?second\n");
  EXPECT_EQ(warnings.sentences(), (std::vector<std::string>{"the first", "the\nsecond"}));
}

TEST(Warnings, OfOtherRanksAreNotPrinted) {
  ::testing::internal::CaptureStderr();
  Warnings warnings(/*printed=*/false);
  warnings.add("a");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(warnings.sentences().size(), 1u);
}

TEST(Warnings, OfALongRunAreBounded) {
  Warnings warnings(/*printed=*/false);
  for (int i = 0; i < 1000; ++i) warnings.add(concat("step ", i));
  EXPECT_EQ(warnings.sentences().size(), 101u);
  EXPECT_EQ(warnings.sentences().back(), "900 more warnings, which are not listed here");
  warnings.add("step 999");  // told before
  EXPECT_EQ(warnings.sentences().back(), "900 more warnings, which are not listed here");
}

TEST(Warnings, AreAKeyOfEveryResult) {
  const data::TempFolder folder;
  const auto written = [&](const std::vector<std::string>& warnings) {
    write_result(folder / "result.json", {{"value", 1}}, warnings);
    return nlohmann::json::parse(std::ifstream(folder / "result.json"));
  };
  EXPECT_EQ(written({}), (nlohmann::json{{"value", 1}, {"warnings", nlohmann::json::array()}}));
  EXPECT_EQ(written({"doubt"}).at("warnings"), nlohmann::json::array({"doubt"}));
}

}  // namespace
}  // namespace unlabel::launch
