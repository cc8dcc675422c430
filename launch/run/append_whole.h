#pragma once

#include <string_view>

namespace unlabel::launch {

/// Appends to a file, all or nothing: a write that fails half way (a full disk) is taken back. False when it failed.
bool append_atomically(int descriptor, std::string_view bytes);

}  // namespace unlabel::launch
