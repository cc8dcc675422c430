#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace unlabel::ssl {

/// The types of the safetensors format that we read and write; others are refused. In the order in which files list
/// them: larger ones first, so that every tensor is aligned.
enum class SafetensorsType { kI64, kF64, kF32, kI32, kBF16, kF16, kI16, kI8, kU8, kBool };

/// Bytes of one element.
std::uint64_t size_of(SafetensorsType type);
/// "F32", "BF16", "BOOL" ...
const char* name_of(SafetensorsType type);

/// Where one tensor lies in a file.
struct SafetensorsEntry {
  std::string name;
  SafetensorsType type = SafetensorsType::kF32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  ///< first byte, from the start of the data section
  std::uint64_t end = 0;    ///< one past the last; end - begin == size_of(type) * product of shape
};

/// A safetensors file: 8 bytes little-endian length N of the header, N bytes of JSON, then the data section.
struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;        ///< in the order of their data, which they cover without gap or overlap
  std::map<std::string, std::string> metadata;  ///< `__metadata__`
};

/// Bytes of the length field in front of the header.
inline constexpr std::uint64_t kSafetensorsPrefix = 8;
/// Longer headers are refused, as the reference implementation does.
inline constexpr std::uint64_t kSafetensorsMaxHeader = 100'000'000;

/// The length of the JSON header, from the first 8 bytes of a file of `file_size` bytes. Throws Error, beginning with
/// `file`, when the file is too short for it; so that nothing is allocated for a length that is a lie.
std::uint64_t safetensors_header_length(std::string_view prefix, std::uint64_t file_size, const std::string& file);

/// Parses the JSON of a header whose data section has `data_size` bytes. The text may come from anyone: its structure,
/// nesting, number of dimensions, products and offsets are checked while it is read, each tensor's bytes against its
/// shape and type, and all of them together against the data section, which they must cover exactly once. Memory is
/// bounded by a small multiple of the text. Throws Error that begins with `file` and names the tensor.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_size, const std::string& file);

/// Both of the above on a whole file in memory.
SafetensorsHeader parse_safetensors(std::string_view bytes, const std::string& file);

/// The 8 bytes and the JSON for these entries, padded with spaces so that the data section begins at a multiple of 8.
/// The same entries give the same bytes.
std::string format_safetensors_header(const SafetensorsHeader& header);

}  // namespace unlabel::ssl
