#pragma once

#include <string>

namespace unlabel {

/// Whose fault it is that a call of the system has failed.
enum class FaultKind {
  kFile,     ///< this file's or path's: it is gone, not permitted, a folder
  kProcess,  ///< this process's: too many open files, no memory
  kOutside,  ///< a disk or a network that does not answer: EIO, ESTALE, ETIMEDOUT and their like; trying again may help
};
FaultKind fault_kind(int error);

/// "Input/output error": what errno `error` means.
std::string reason_of(int error);

/// Throws for errno `error`, as "WHAT: REASON": IoError for trouble outside, UsageError (with what may help) for a fault of the process,
/// Error for one of the file. `what` is "cannot read photos/1.jpg".
[[noreturn]] void throw_system_error(const std::string& what, int error);

}  // namespace unlabel
