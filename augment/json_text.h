#pragma once

#include <unlabel/augment/error.h>

#include <nlohmann/json.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

// JSON that comes from outside (recipes, command lines, checkpoints, files of other tools): from text to values, and from values to types.

namespace unlabel {

/// JSON that is damaged, hostile or not of the expected form. The message is one line that names the file and the place in it.
class JsonError : public Error {
 public:
  using Error::Error;
};

struct JsonLimits {
  std::size_t bytes = std::size_t{16} << 20;  ///< of the text
  int depth = 64;  ///< of arrays and objects in each other: what copies, prints or compares JSON recurses
};

/// The value of a JSON text. `where` begins the message: "runs/a/config.json". Throws JsonError for a text that is no JSON, is beyond the
/// limits, has a key twice in one object, or a number that no float64 holds.
nlohmann::json parse_json(std::string_view text, const std::string& where, const JsonLimits& limits = {});

/// The same; nullopt where parse_json throws.
std::optional<nlohmann::json> try_parse_json(std::string_view text);

/// Reads and parses a JSON file or pipe. Throws UsageError that names the file and the place of the fault, also for
/// more than 16 MB and for what is neither a file nor a pipe; IoError when the file cannot be read this time.
nlohmann::json read_json_file(const std::string& path);

/// Throws UsageError when arrays and objects nest more than `most` deep.
void check_json_depth(const nlohmann::json& json, int most, const std::string& where);

/// `text` on a screen: at most 60 characters of it.
std::string shortened(const std::string& text);

namespace detail {

/// How values of type T are read from JSON: its name in messages and what it accepts; kKind for the command line, where it is not kOther.
enum class OptionKind { kOther, kText, kYesNo, kList, kTextList };

template <class T>
struct OptionType;

template <>
struct OptionType<bool> {
  static constexpr auto kKind = OptionKind::kYesNo;
  static std::string name() { return "yes/no"; }
  static bool accepts(const nlohmann::json& j) { return j.is_boolean(); }
};

template <class T>
requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) struct OptionType<T> {
  static std::string name() { return std::is_unsigned_v<T> ? "integer >= 0" : "integer"; }
  static bool accepts(const nlohmann::json& j) {
    if (j.is_number_unsigned()) return std::in_range<T>(j.get<std::uint64_t>());
    if (j.is_number_integer()) return std::in_range<T>(j.get<std::int64_t>());
    return false;
  }
};

template <>
struct OptionType<double> {
  static std::string name() { return "number"; }
  static bool accepts(const nlohmann::json& j) { return j.is_number() && std::isfinite(j.get<double>()); }
};

template <>
struct OptionType<std::string> {
  static constexpr auto kKind = OptionKind::kText;
  static std::string name() { return "text"; }
  static bool accepts(const nlohmann::json& j) { return j.is_string(); }
};

template <class T>
struct OptionType<std::vector<T>> {
  static constexpr auto kKind = std::is_same_v<T, std::string> ? OptionKind::kTextList : OptionKind::kList;
  static std::string name() { return "list of " + OptionType<T>::name() + "s"; }
  static bool accepts(const nlohmann::json& j) {
    if (!j.is_array()) return false;
    for (const auto& item : j)
      if (!OptionType<T>::accepts(item)) return false;
    return true;
  }
};

template <class T, std::size_t kCount>
struct OptionType<std::array<T, kCount>> {
  static constexpr auto kKind = OptionKind::kList;
  static std::string name() { return std::to_string(kCount) + " " + OptionType<T>::name() + "s"; }
  static bool accepts(const nlohmann::json& j) { return OptionType<std::vector<T>>::accepts(j) && j.size() == kCount; }
};

/// Any object, for json_member.
template <>
struct OptionType<nlohmann::json::object_t> {
  static std::string name() { return "object"; }
  static bool accepts(const nlohmann::json& j) { return j.is_object(); }
};

template <class T>
constexpr OptionKind option_kind() {
  if constexpr (requires { OptionType<T>::kKind; })
    return OptionType<T>::kKind;
  else
    return OptionKind::kOther;
}

/// Null: unset.
template <class T>
struct OptionType<std::optional<T>> {
  static constexpr auto kKind = option_kind<T>();
  static std::string name() { return OptionType<T>::name(); }
  static bool accepts(const nlohmann::json& j) { return j.is_null() || OptionType<T>::accepts(j); }
};

}  // namespace detail

/// JSON on one line, without an end. Bytes that are no UTF-8 (names of files may have them) are replaced: dump() throws.
template <class Json>
std::string json_line(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

/// Member `key` of `object` as a T. Throws JsonError that begins with `where` when `object` is none, lacks the member, or has another type
/// there: "runs/a/training.json is damaged: 'images' is no integer but "x"".
template <class T>
T json_member(const nlohmann::json& object, const std::string& key, const std::string& where) {
  if (!object.is_object() || !object.contains(key)) throw JsonError(where, " is damaged: it has no '", key, "'");
  const auto& value = object.at(key);
  if (!detail::OptionType<T>::accepts(value))
    throw JsonError(where, " is damaged: '", key, "' is no ", detail::OptionType<T>::name(), " but ",
                    shortened(json_line(value)));
  return value.get<T>();
}

}  // namespace unlabel
