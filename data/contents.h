#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace unlabel::data {

/// Whether a file is an archive, by its name, in any case.
enum class Packed : std::uint8_t {
  kNo,
  kTar,         ///< shards:DIR reads it
  kCompressed,  ///< .tar.gz, .zip and their like: not read
};
Packed packed_as(std::string_view name);

/// What is in a folder where no data set was found, and what would make one of it, for the message: "there are 3 .tar files (0.tar ...):
/// shards:DIR reads them". Ends with the layouts that are taken.
std::string describe_contents(const std::string& directory);

}  // namespace unlabel::data
