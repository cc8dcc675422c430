#pragma once

#include <unlabel/augment/error.h>

#include <optional>
#include <string>

namespace unlabel {

/// A limit of this process, not an error of a file: too many open files, too little memory.
class LimitError : public UsageError {
 public:
  using UsageError::UsageError;
};

/// The cause of a failed system call.
enum class FaultKind {
  kFile,     ///< this file or path: it is missing, not permitted, a folder
  kProcess,  ///< this process: too many open files, no memory
  kOutside,  ///< a disk or a network that does not answer: EIO, ESTALE, ETIMEDOUT and their like, or a signal that came in between
             ///< (EINTR); trying again may help
};
FaultKind fault_kind(int error);

/// "Input/output error": what errno `error` means.
std::string reason_of(int error);

/// Throws for errno `error`, as "WHAT: REASON": IoError for trouble outside, LimitError (with what may help) for a fault of the process,
/// Error for one of the file. `what` is "cannot read photos/1.jpg".
[[noreturn]] void throw_system_error(const std::string& what, int error);

/// Returns the result of `act`, which reads something that the user has named. Its Error is rethrown as UsageError, with `before` and
/// `after` (advice) around the message; IoError and LimitError, which are not about the named thing, and MismatchError are rethrown as they
/// are.
template <class Act>
auto as_usage_error(const std::string& before, const std::string& after, const Act& act) {
  try {
    return act();
  } catch (const IoError&) {
    throw;
  } catch (const LimitError&) {
    throw;
  } catch (const MismatchError&) {
    throw;
  } catch (const Error& error) {
    throw UsageError(before, error.what(), after);
  }
}

/// Why a sample or a file that `act` reads and decodes is broken: the message of its Error; nullopt when there was none. UsageError and
/// IoError, which are no fault of the file, are rethrown.
template <class Act>
std::optional<std::string> broken_reason(const Act& act) {
  try {
    act();
    return std::nullopt;
  } catch (const UsageError&) {
    throw;
  } catch (const IoError&) {
    throw;
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace unlabel
