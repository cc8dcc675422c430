// Any bytes, plain or gzip, are an IDX file whose images can be read, or a UsageError, in bounded memory.
#include <unlabel/augment/error.h>
#include <unlabel/data/image/idx.h>

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

/// A folder of this process in memory, removed at the end.
struct Folder {
  Folder() : path("/dev/shm/unlabel-fuzz-" + std::to_string(::getpid())) { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

void put(const std::string& path, const std::uint8_t* data, std::size_t size) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace unlabel;
  static const Folder folder;
  if (size == 0) return 0;
  // The first byte says where the labels begin.
  const std::size_t images = 1 + (size - 1) * data[0] / 255;
  put(folder.path + "/train-images-idx3-ubyte", data + 1, images - 1);
  put(folder.path + "/train-labels-idx1-ubyte", data + images, size - images);
  try {
    const auto dataset = data::open_idx(folder.path, data::Split::kTrain);
    augment::ImageSource source;
    for (const std::int64_t index : {std::int64_t{0}, dataset->size() - 1}) {
      dataset->read(index, source);
      if (source.pixels.empty()) std::abort();
      if (dataset->label(index) >= static_cast<std::int64_t>(dataset->class_names().size())) std::abort();
    }
  } catch (const UsageError&) {
  }
  return 0;
}
