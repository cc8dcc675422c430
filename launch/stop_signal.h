#pragma once

namespace unlabel::launch {

/// While one lives, SIGTERM, SIGINT, SIGHUP (unless nohup has it ignored), SIGUSR1 and SIGUSR2 only set a flag, which the training loop
/// agrees on between steps: it then saves and ends with exit code 75. A scheduler and a launcher may both send one, so repeats change
/// nothing; but a second SIGINT that comes a second after the first or later (a person who insists) ends the process at once. Not to be
/// nested.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  bool requested() const;
};

}  // namespace unlabel::launch
