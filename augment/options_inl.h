#pragma once

// The conversions behind OptionTable::Field. Included by options.h only.

#include <utility>

namespace unlabel {

template <class T>
OptionTable::Field::Field(std::string name_of_field, T& value, std::string help_line)
    : name(std::move(name_of_field)),
      help(std::move(help_line)),
      type(detail::OptionType<T>::name()),
      kind(detail::option_kind<T>()),
      accepts(&detail::OptionType<T>::accepts) {
  if constexpr (requires { value.has_value(); }) {
    get = [&value]() -> nlohmann::json { return value ? nlohmann::json(*value) : nlohmann::json(nullptr); };
    assign = [&value](const nlohmann::json& j) {
      if (j.is_null())
        value.reset();
      else
        value = j.get<typename T::value_type>();
    };
  } else {
    get = [&value]() -> nlohmann::json { return value; };
    assign = [&value](const nlohmann::json& j) { value = j.get<T>(); };
  }
}

}  // namespace unlabel
