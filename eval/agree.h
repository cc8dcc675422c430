#pragma once

#include <ATen/core/Tensor.h>

#include <exception>

namespace unlabel::ssl {
class Group;
}

namespace unlabel::eval {

/// Ends a stretch of work that each rank did alone, so that none of them waits in the next collective for one that has
/// failed.
///
/// `failure` is what this rank caught, or null. Every rank must call it. When any rank has failed, all of them throw
/// the first failing rank's error, with its type (UsageError, MismatchError or Error) and its message (the first 1000
/// bytes). With one rank it just rethrows. `like` names the device on which the group communicates.
void agree(const std::exception_ptr& failure, const ssl::Group& group, const at::Tensor& like);

}  // namespace unlabel::eval
