#pragma once

#include <gtest/gtest.h>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace unlabel::data {

/// A folder for one test, removed at its end.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "unlabel_data_XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  void write(const std::string& name, std::string_view bytes) const {
    std::filesystem::create_directories(std::filesystem::path(*this / name).parent_path());
    std::ofstream out(*this / name, std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    ASSERT_TRUE(out.good());
  }

  void write(const std::string& name, const std::vector<std::uint8_t>& bytes) const {
    write(name, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }

  /// An image of seeded noise; its format is the extension's.
  void write_image(const std::string& name, int width = 12, int height = 10, std::uint64_t seed = 1) const {
    cv::Mat image(height, width, CV_8UC3);
    cv::RNG(seed + 1).fill(image, cv::RNG::UNIFORM, 0, 256);
    std::vector<std::uint8_t> bytes;
    ASSERT_TRUE(cv::imencode(name.substr(name.rfind('.')), image, bytes));
    write(name, bytes);
  }

 private:
  std::string path_;
};

/// A whole file.
inline std::string read_text_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace unlabel::data

/// The statement throws the exception, and its one-line message holds the text.
#define EXPECT_THROWS_WITH(statement, exception, text)                                                          \
  try {                                                                                                         \
    statement;                                                                                                  \
    ADD_FAILURE() << #statement " threw nothing";                                                               \
  } catch (const exception& caught) {                                                                           \
    EXPECT_NE(std::string(caught.what()).find(text), std::string::npos) << "the message is: " << caught.what(); \
    EXPECT_EQ(std::string(caught.what()).find('\n'), std::string::npos);                                        \
  }
