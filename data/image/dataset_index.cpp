#include <unlabel/augment/error.h>
#include <unlabel/data/image/dataset_index.h>
#include <unlabel/data/io/files.h>

#include <zlib.h>

#include <algorithm>
#include <iterator>

namespace unlabel::data {

namespace {
constexpr std::size_t kSizeBytes = 8;
constexpr std::uint64_t kMostDeflated = 1032;  ///< times that deflate can shrink something
}  // namespace

std::string pack_index(const nlohmann::json& value) {
  const auto plain = nlohmann::json::to_cbor(value);
  const std::uint64_t plain_size = plain.size();
  auto size = compressBound(plain_size);
  std::string index(kSizeBytes + size, '\0');
  std::memcpy(index.data(), &plain_size, kSizeBytes);
  if (compress2(reinterpret_cast<Bytef*>(index.data() + kSizeBytes), &size, plain.data(), plain_size, /*level=*/1) !=
      Z_OK)
    throw Error("a list of files cannot be compressed: out of memory");
  index.resize(kSizeBytes + size);
  return index;
}

nlohmann::json unpack_index(const std::string& index) {
  std::uint64_t plain_size = 0;
  if (index.size() >= kSizeBytes) std::memcpy(&plain_size, index.data(), kSizeBytes);
  if (plain_size == 0 || plain_size / kMostDeflated > index.size()) throw Error("a list of files is damaged");
  std::vector<std::uint8_t> plain(plain_size);
  auto size = static_cast<uLongf>(plain_size);
  const auto* from = reinterpret_cast<const Bytef*>(index.data() + kSizeBytes);
  if (uncompress(plain.data(), &size, from, index.size() - kSizeBytes) != Z_OK || size != plain_size)
    throw Error("a list of files is damaged");
  auto value = nlohmann::json::from_cbor(plain, /*strict=*/true, /*allow_exceptions=*/false);
  if (!value.is_object()) throw Error("a list of files is damaged");
  return value;
}

nlohmann::json joined_texts(const std::vector<std::string>& texts) {
  std::vector<char> bytes;
  for (const auto& text : texts) {
    bytes.insert(bytes.end(), text.begin(), text.end());
    bytes.push_back('\0');
  }
  return binary_of(bytes);
}

std::vector<std::string> split_texts(const nlohmann::json& value) {
  const auto& bytes = value.get_binary();
  std::vector<std::string> texts;
  for (auto begin = bytes.begin(); begin != bytes.end();) {
    const auto end = std::find(begin, bytes.end(), 0);
    if (end == bytes.end()) throw Error("a list of files is damaged");
    texts.emplace_back(begin, end);
    begin = end + 1;
  }
  return texts;
}

std::vector<std::size_t> sampled_places(std::size_t count) {
  constexpr std::size_t kMost = 16;
  std::vector<std::size_t> places;
  for (std::size_t k = 0; k < std::min(kMost, count); ++k)
    places.push_back(count <= kMost ? k : k * (count - 1) / (kMost - 1));
  return places;
}

void require_same_size(int folder, const std::string& path, const std::string& root, std::uint64_t size) {
  const auto found = size_of(folder, path.c_str());
  if (found.value_or(0) == size) return;
  throw MismatchError(root, "/", path, found ? concat(" has ", *found, " bytes, and not ", size) : " is missing");
}

}  // namespace unlabel::data
