#pragma once

// The conversions behind OptionTable::add. Included by options.h only.

#include <unlabel/augment/error.h>

#include <array>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

namespace unlabel::detail {

template <class T>
struct OptionType;

template <>
struct OptionType<bool> {
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
  static std::string name() { return "text"; }
  static bool accepts(const nlohmann::json& j) { return j.is_string(); }
};

template <class T>
struct OptionType<std::vector<T>> {
  static std::string name() { return "list of " + OptionType<T>::name(); }
  static bool accepts(const nlohmann::json& j) {
    if (!j.is_array()) return false;
    for (const auto& item : j)
      if (!OptionType<T>::accepts(item)) return false;
    return true;
  }
};

template <class T, std::size_t kCount>
struct OptionType<std::array<T, kCount>> {
  static std::string name() { return "list of " + std::to_string(kCount) + " times " + OptionType<T>::name(); }
  static bool accepts(const nlohmann::json& j) { return OptionType<std::vector<T>>::accepts(j) && j.size() == kCount; }
};

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};

[[noreturn]] void throw_wrong_type(const std::string& field, const std::string& type, const nlohmann::json& value);

}  // namespace unlabel::detail

namespace unlabel {

template <class T>
void OptionTable::add(std::string name, T& value, std::string help) {
  Field field;
  field.name = std::move(name);
  field.help = std::move(help);
  if constexpr (detail::is_optional<T>::value) {
    using Inner = typename T::value_type;
    field.type = detail::OptionType<Inner>::name();
    field.get = [&value]() -> nlohmann::json { return value ? nlohmann::json(*value) : nlohmann::json(nullptr); };
    field.set = [&value, label = field.name, type = field.type](const nlohmann::json& j) {
      if (j.is_null()) {
        value.reset();
        return;
      }
      if (!detail::OptionType<Inner>::accepts(j)) detail::throw_wrong_type(label, type, j);
      value = j.get<Inner>();
    };
  } else {
    field.type = detail::OptionType<T>::name();
    field.get = [&value]() -> nlohmann::json { return value; };
    field.set = [&value, label = field.name, type = field.type](const nlohmann::json& j) {
      if (!detail::OptionType<T>::accepts(j)) detail::throw_wrong_type(label, type, j);
      value = j.get<T>();
    };
  }
  fields_.push_back(std::move(field));
}

}  // namespace unlabel
