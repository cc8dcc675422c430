#include <unlabel/augment/error.h>
#include <unlabel/augment/exception_text.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

namespace unlabel {
namespace {

std::string text_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const std::exception& error) {
    return exception_text(error);
  }
  return "(nothing thrown)";
}

void expect_advice(const std::string& text, const std::string& begin) {
  EXPECT_TRUE(text.starts_with(begin)) << text;
  for (const char* option : {"--micro-batch", "--batch-size", "--features.batch-size", "--threads"})
    EXPECT_NE(text.find(option), std::string::npos) << text;
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST(ExceptionText, OutOfMemoryNamesTheOptionsThatHelp) {
  expect_advice(text_of([] { throw std::bad_alloc(); }), "out of memory: ");
  expect_advice(text_of([] {
                  throw std::runtime_error(
                      "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't "
                      "allocate memory: you tried to allocate 7 bytes.\nframe #0");
                }),
                "out of memory: ");
  expect_advice(text_of([] { throw std::runtime_error("CUDA out of memory. Tried to allocate 2 GiB.\nframe #0"); }),
                "out of memory on the GPU: ");
}

TEST(ExceptionText, OfASystemsErrorsIsASentence) {
  const auto threads =
      text_of([] { throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again)); });
  EXPECT_NE(threads.find("use fewer --threads"), std::string::npos) << threads;
  std::string pattern = (std::filesystem::temp_directory_path() / "unlabel-exception-text-XXXXXX").string();
  ASSERT_TRUE(mkdtemp(pattern.data()));
  const std::filesystem::path folder(pattern);
  std::filesystem::create_directory(folder / "inside");
  EXPECT_EQ(text_of([&] { std::filesystem::remove(folder); }),
            "cannot remove " + folder.string() + ": Directory not empty");
  EXPECT_EQ(
      text_of([&] { std::filesystem::rename(folder / "a", folder / "b"); }),
      "cannot rename " + (folder / "a").string() + " to " + (folder / "b").string() + ": No such file or directory");
  std::filesystem::remove_all(folder);
}

TEST(ExceptionText, NamesNoPlacesInSources) {
  EXPECT_EQ(
      text_of([] { throw std::runtime_error("sizes differ: 3 and 4\nException raised from f at a.cpp:1\nframe #0"); }),
      "sizes differ: 3 and 4");
  EXPECT_EQ(text_of([] { throw std::runtime_error("[enforce fail at b.cpp:127] sizes differ"); }), "sizes differ");
  EXPECT_NE(text_of([] {
              throw std::runtime_error("value cannot be converted to type float without overflow");
            }).find("give a smaller one"),
            std::string::npos);
  const auto json = text_of([] { static_cast<void>(nlohmann::json(3).at("a")); });
  EXPECT_EQ(json.find("json.exception"), std::string::npos) << json;
  EXPECT_EQ(text_of([] { throw UsageError("as it is"); }), "as it is");
}

}  // namespace
}  // namespace unlabel
