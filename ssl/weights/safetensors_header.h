#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace unlabel::ssl {

/// The types of the safetensors format that are supported, in the order in which written files list them: larger ones first, so that every
/// tensor is aligned.
enum class SafetensorsType { kI64, kF64, kF32, kI32, kBF16, kF16, kI16, kI8, kU8, kBool };

/// Size of one element in bytes.
std::uint64_t size_of(SafetensorsType type);
/// "F32", "BF16", "BOOL" ...
const char* name_of(SafetensorsType type);

/// One tensor's name, type, shape and position in a file.
struct SafetensorsEntry {
  std::string name;
  SafetensorsType type = SafetensorsType::kF32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  ///< first byte, from the start of the data section
  std::uint64_t end = 0;    ///< one past the last; end - begin == size_of(type) * product of shape
};

/// A safetensors file: 8 bytes little-endian length N of the header, N bytes of JSON, then the data section.
struct SafetensorsHeader {
  std::vector<SafetensorsEntry>
      entries;  ///< in the order of their data; they cover the data section without gap or overlap
  std::map<std::string, std::string> metadata;  ///< `__metadata__`
};

/// Size in bytes of the length field in front of the header.
inline constexpr std::uint64_t kSafetensorsPrefix = 8;
/// Longer headers are refused, as the reference implementation does.
inline constexpr std::uint64_t kSafetensorsMaxHeader = 100'000'000;

/// The length in bytes of the JSON header, from `prefix`, the first 8 bytes of a file of `file_size` bytes. Throws Error, with `file` in
/// front, if the file is too short for it, so that nothing is allocated for a wrong length.
std::uint64_t safetensors_header_length(std::string_view prefix, std::uint64_t file_size, const std::string& file);

/// Parses the JSON of a header whose data section has `data_size` bytes. The text is not trusted: structure, nesting, number of dimensions,
/// products and offsets are checked during parsing; each tensor's number of bytes must agree with its shape and type; and together the
/// tensors must cover the data section exactly once. Memory is bounded by a small multiple of the size of the text. Throws Error, with
/// `file` in front and the name of the tensor.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_size, const std::string& file);

/// The two functions above, for a whole file in memory.
SafetensorsHeader parse_safetensors(std::string_view bytes, const std::string& file);

/// The length field and the JSON of these entries, padded with spaces such that the data section begins at a multiple of 8 bytes. Equal
/// entries give equal bytes.
std::string format_safetensors_header(const SafetensorsHeader& header);

}  // namespace unlabel::ssl
