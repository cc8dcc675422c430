#pragma once

#include <unlabel/augment/error.h>

#include <string>

namespace unlabel {

/// What `act` is refused with; "(accepted)" when it is not. Other exceptions pass.
template <class Exception = UsageError, class Act>
std::string refusal(const Act& act) {
  try {
    act();
  } catch (const Exception& error) {
    return error.what();
  }
  return "(accepted)";
}

}  // namespace unlabel
