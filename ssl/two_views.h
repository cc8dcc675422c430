#pragma once

#include <unlabel/augment/error.h>
#include <unlabel/augment/multi_crop.h>

#include <cstddef>
#include <string>

namespace unlabel::ssl {

// What methods check alike.

/// Throws UsageError unless the option is above 0.
template <class Number>
void require_positive(const char* option, Number value) {
  if (!(value > 0)) throw UsageError(option, " is ", value, ": it must be above 0");
}

/// Throws UsageError unless there are two views.
inline void require_two_views(const char* method, std::size_t views) {
  if (views != 2)
    throw UsageError(method, " takes two views of each image, not ", views,
                     ": give --augment.preset simclr or byol, without local crops");
}

/// The same, and that they are of one size.
inline void require_two_views(const char* method, const augment::MultiCrop& views) {
  require_two_views(method, static_cast<std::size_t>(views.views()));
  if (views.shape(0) != views.shape(1))
    throw UsageError(method, " takes two views of one size: give --augment.preset simclr or byol, without local crops");
}

}  // namespace unlabel::ssl
