#pragma once

#include <unlabel/augment/error.h>
#include <unlabel/augment/transforms/multi_crop.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace unlabel::ssl {

// What methods check alike.

/// Throws UsageError unless the option is above 0.
template <class Number>
void require_positive(const char* option, Number value) {
  if (!(value > 0)) throw UsageError(option, " is ", value, ": it must be above 0");
}

/// Throws UsageError when there are fewer than two crops, or fewer than give the targets.
inline void require_crops(const char* method, std::int64_t crops, std::int64_t crops_for_assign) {
  if (const auto least = std::max<std::int64_t>(2, crops_for_assign); crops < least)
    throw UsageError(method, " needs at least ", least, " crops of each image, not ", crops,
                     ": give a larger --augment.global-count or --augment.local-count");
}

/// The same, and unless those that give the targets are of one size. `section`: of the method's options.
inline void require_global_crops(const char* method, const char* section, const augment::MultiCrop& views,
                                 std::int64_t crops_for_assign) {
  require_crops(method, views.views(), crops_for_assign);
  for (int view = 1; view < crops_for_assign; ++view)
    if (views.shape(view) != views.shape(0))
      throw UsageError(method, " takes its targets from ", crops_for_assign, " global crops, and there are ", view,
                       ": give a larger --augment.global-count, or fewer --", section, ".crops-for-assign");
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
