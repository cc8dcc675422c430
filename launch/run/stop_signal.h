#pragma once

namespace unlabel::launch {

/// While one lives, SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGUSR2 only set a flag, which the training loop agrees on between steps: it then
/// saves and ends with exit code 75. Those that the process ignores stay ignored (nohup does so with SIGHUP, a shell with SIGINT for what
/// runs in the background); at the end all are as they were. A scheduler and a launcher may both send one, so repeats change
/// nothing; but a second SIGINT that comes a second after the first or later (a person who insists) ends the process at once. Not to be
/// nested.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  static bool requested();
};

}  // namespace unlabel::launch
