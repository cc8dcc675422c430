#pragma once

namespace unlabel::launch {

/// While an object of this class exists, SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGUSR2 only set a flag. The training loop combines the flags
/// of all ranks between steps, then saves and ends with exit code 75. Signals that the process ignores stay ignored (nohup ignores SIGHUP;
/// a shell ignores SIGINT for background jobs). The destructor restores the previous handlers.
///
/// Repeated signals have no further effect, because a scheduler and a launcher may both send one; but a second SIGINT at least one second
/// after the first (the user pressed Ctrl-C again) ends the process at once. At most one object may exist at a time.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  static bool requested();
};

}  // namespace unlabel::launch
