#pragma once

#include <string>

namespace unlabel::data {

/// What is in a folder where no data set was found, and what would make one of it, for the message: "there are 3 .tar files (0.tar ...):
/// shards:DIR reads them". Ends with the layouts that are taken.
std::string describe_contents(const std::string& directory);

}  // namespace unlabel::data
