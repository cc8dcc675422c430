#pragma once

#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

#include <optional>
#include <string>

namespace unlabel::ssl {

/// The type to which autocast converts forward passes: kBFloat16 for "bf16", kHalf for "fp16", nullopt (no autocast) for "float32". Throws
/// UsageError for any other name.
std::optional<c10::ScalarType> autocast_type(const std::string& precision);

/// Sets autocast of `device` to `type` (nullopt: off) for the lifetime of this object. The destructor restores the previous setting and
/// clears the cache of 16-bit copies of weights, which are out of date after an update.
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
