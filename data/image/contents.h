#pragma once

#include <string>

namespace unlabel::data {

/// Describes a folder in which no data set was found, with advice, for messages: "there are 3 .tar files (0.tar ...): shards:DIR reads
/// them". Ends with the layouts that are read.
std::string describe_contents(const std::string& directory);

}  // namespace unlabel::data
