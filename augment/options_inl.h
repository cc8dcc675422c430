#pragma once

// The conversions behind OptionTable::add. Included by options.h only.

#include <optional>
#include <type_traits>
#include <utility>

namespace unlabel::detail {

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};

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
    field.kind = detail::option_kind<Inner>();
    field.get = [&value]() -> nlohmann::json { return value ? nlohmann::json(*value) : nlohmann::json(nullptr); };
    field.accepts = [](const nlohmann::json& j) { return j.is_null() || detail::OptionType<Inner>::accepts(j); };
    field.assign = [&value](const nlohmann::json& j) {
      if (j.is_null())
        value.reset();
      else
        value = j.get<Inner>();
    };
  } else {
    field.type = detail::OptionType<T>::name();
    field.kind = detail::option_kind<T>();
    field.get = [&value]() -> nlohmann::json { return value; };
    field.accepts = [](const nlohmann::json& j) { return detail::OptionType<T>::accepts(j); };
    field.assign = [&value](const nlohmann::json& j) { value = j.get<T>(); };
  }
  fields_.push_back(std::move(field));
}

}  // namespace unlabel
