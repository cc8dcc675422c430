#pragma once

#include <unlabel/augment/options.h>

#include <any>
#include <utility>

namespace unlabel {

/// The options of one entry of a list (a method, an evaluation protocol): any struct that has an `OptionTable table(Options&)`, by value.
class AnyOptions {
 public:
  AnyOptions() = default;
  template <class Options>
  explicit AnyOptions(Options value)
      : value_(std::move(value)), table_([](std::any& held) { return table(std::any_cast<Options&>(held)); }) {}

  /// The table of these options, which must outlive it; empty without options.
  OptionTable fields() { return table_ ? table_(value_) : OptionTable(); }
  template <class Options>
  const Options& get() const {
    return std::any_cast<const Options&>(value_);
  }

 private:
  std::any value_;
  OptionTable (*table_)(std::any&) = nullptr;
};

}  // namespace unlabel
