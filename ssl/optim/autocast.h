#pragma once

#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

#include <optional>
#include <string>

namespace unlabel::ssl {

/// The type of a precision's forward passes under autocast: bf16, fp16, or none for float32. Throws UsageError for any
/// other name.
std::optional<c10::ScalarType> autocast_type(const std::string& precision);

/// Autocast of a device while it lives: to `type`, or off where there is none. What was set before comes back at the
/// end, and the cache of 16-bit copies of weights is emptied, because an update makes them stale.
class Autocast {
 public:
  Autocast(c10::DeviceType device, std::optional<c10::ScalarType> type);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  c10::DeviceType device_;
  bool enabled_before_;
  c10::ScalarType type_before_;
};

}  // namespace unlabel::ssl
