// Runs a fuzz target over files: its seeds, or inputs that once were trouble. For compilers without libFuzzer, and for the default tests.
//
// usage: fuzz_NAME_replay FOLDER|FILE...
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr int kMutations = 200;

/// The file, its beginnings, and copies with some bytes changed, always the same ones.
int replay(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> text{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::uint8_t> bytes(text.begin(), text.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  if (bytes.empty()) return 1;
  std::mt19937 random(1);
  for (int i = 0; i < kMutations; ++i) {
    auto damaged = bytes;
    for (unsigned flips = 1 + random() % 8; flips > 0; --flips)
      damaged[random() % damaged.size()] = static_cast<std::uint8_t>(random());
    if (i % 4 == 0) damaged.resize(random() % damaged.size());
    LLVMFuzzerTestOneInput(damaged.data(), damaged.size());
  }
  return 1 + kMutations;
}

}  // namespace

int main(int count, char** values) {
  int inputs = 0;
  for (int i = 1; i < count; ++i) {
    if (!std::filesystem::is_directory(values[i])) {
      inputs += replay(values[i]);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(values[i]))
      if (entry.is_regular_file()) inputs += replay(entry.path());
  }
  std::printf("%d inputs\n", inputs);
  return inputs > 0 ? 0 : 1;
}
