#pragma once

#include <unlabel/augment/error.h>
#include <unlabel/ssl/group.h>

#include <chrono>
#include <functional>

namespace unlabel::ssl {

/// A collective that failed because a peer is gone: no further one can be made.
class LostRankError : public Error {
 public:
  using Error::Error;
};

/// As together(), for an action that may take longer than ranks wait for each other (a flush to a slow disk): it runs on a thread of its
/// own, and each `pause`, well below that time, the ranks hear that it goes on.
void long_together(const Group& group, std::chrono::milliseconds pause, const std::function<void()>& action);

/// Whether it holds on any rank; every rank must call it.
bool any_rank(const Group& group, bool here);

}  // namespace unlabel::ssl
