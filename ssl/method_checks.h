#pragma once

#include <unlabel/augment/error.h>
#include <unlabel/augment/transforms/multi_crop.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace unlabel::ssl {

// Checks that several methods share. `method` is the name in messages: "SwAV".

/// Throws UsageError unless the option is above 0.
template <class Number>
void require_positive(const char* option, Number value) {
  if (!(value > 0)) throw UsageError(option, " is ", value, ": it must be above 0");
}

/// Throws UsageError if there are fewer than two crops, or fewer than the `crops_for_assign` from which the targets are computed.
inline void require_crops(const char* method, std::int64_t crops, std::int64_t crops_for_assign) {
  if (const auto least = std::max<std::int64_t>(2, crops_for_assign); crops < least)
    throw UsageError(method, " needs at least ", least, " crops of each image, not ", crops,
                     ": give a larger --augment.global-count or --augment.local-count");
}

/// The same, and throws if the first `crops_for_assign` crops differ in size. `section`: that of the method's options, "swav".
inline void require_global_crops(const char* method, const char* section, const augment::MultiCrop& views,
                                 std::int64_t crops_for_assign) {
  require_crops(method, views.views(), crops_for_assign);
  for (int view = 1; view < crops_for_assign; ++view)
    if (views.shape(view) != views.shape(0))
      throw UsageError(method, " computes its targets from ", crops_for_assign, " global crops, but there are ", view,
                       ": give a larger --augment.global-count, or fewer --", section, ".crops-for-assign");
}

/// Throws UsageError unless there are exactly two views.
inline void require_two_views(const char* method, std::size_t views) {
  if (views != 2)
    throw UsageError(method, " takes two views of each image, not ", views,
                     ": give --augment.preset simclr or byol, without local crops");
}

/// The same, and throws if they differ in size.
inline void require_two_views(const char* method, const augment::MultiCrop& views) {
  require_two_views(method, static_cast<std::size_t>(views.views()));
  if (views.shape(0) != views.shape(1))
    throw UsageError(method,
                     " takes two views of equal size: give --augment.preset simclr or byol, without local crops");
}

}  // namespace unlabel::ssl
