#pragma once

namespace unlabel::launch {

/// Prepares standard streams and signals; to be called first in main(). For programs only: it changes global state.
///
/// - Of the file descriptors 0, 1 and 2, those that are closed are opened on /dev/null. Otherwise the next opened file, possibly one of the
///   user's, would get that number, and messages would be written into it. Descriptor 1 is opened for reading only, so that writing a
///   result to a closed stdout is an error.
/// - SIGPIPE (the reader of a pipe has ended) and SIGXFSZ (a file above `ulimit -f`) are ignored: the write fails with an error instead.
void prepare_process();

}  // namespace unlabel::launch
