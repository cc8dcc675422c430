#pragma once

namespace unlabel::launch {

/// While one lives, SIGTERM, SIGINT and SIGUSR1 only set a flag, which the training loop agrees on between steps: it then saves and ends
/// with exit code 75. A second signal ends the process at once. Not to be nested.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  bool requested() const;
};

}  // namespace unlabel::launch
