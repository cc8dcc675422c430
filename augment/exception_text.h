#pragma once

#include <exception>
#include <string>

namespace unlabel {

/// An exception as one line that says what to do: our own errors as they are; out of memory, no more threads, file systems' errors and what
/// LibTorch throws in a sentence, without places in sources and without stack frames. For places where exceptions end: a program's main, a
/// thread's, messages between ranks.
std::string exception_text(const std::exception& error);

}  // namespace unlabel
