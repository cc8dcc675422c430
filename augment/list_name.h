#pragma once

#include <unlabel/augment/error.h>

#include <algorithm>
#include <string>

namespace unlabel {

/// Throws UsageError unless `name` can name an entry of a list: lower-case letters, digits and, where they are allowed, underscores (data
/// formats, which stand before a colon, have none). `kind` begins the message: "a method".
inline void require_list_name(const char* kind, const std::string& name, bool underscores = true) {
  const auto fits = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '_' && underscores);
  };
  if (name.empty() || !std::ranges::all_of(name, fits))
    throw UsageError(kind, " cannot be called '", name, "': use lower-case letters",
                     underscores ? ", digits and underscores" : " and digits");
}

}  // namespace unlabel
