#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace unlabel {

/// JSON on one line, without an end. Bytes that are no UTF-8 (names of files may have them) are replaced: dump() throws.
template <class Json>
std::string json_line(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

}  // namespace unlabel
