#pragma once

namespace unlabel::launch {

/// What a program does first, so that its standard files decide over nothing but what is written to them. For programs, not for libraries:
///
/// - Of 0, 1 and 2, those that are closed are opened on /dev/null; or the next file that is opened, which may be the user's, would be taken
///   for one of them. Nothing can be written to 1 then, so that a result for it is not lost in silence.
/// - SIGPIPE (a reader that went away) and SIGXFSZ (a file above `ulimit -f`) are ignored: the write fails, and what writes tells.
void prepare_process();

}  // namespace unlabel::launch
