#include <unlabel/launch/distributed/process.h>
#include <unlabel/launch/run/stop_signal.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace unlabel::launch {
namespace {

/// What `act` returns in a child process, which it may spoil.
template <class Act>
int in_child(const Act& act) {
  const int child = ::fork();
  if (child == 0) {
    try {
      ::_exit(act());
    } catch (...) {  // would run all other tests here too
      ::_exit(-1);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(Process, ClosedStandardFilesAreNotTakenByOthers) {
  for (int closed = 0; closed < 8; ++closed)
    EXPECT_EQ(in_child([closed] {
                for (int descriptor = 0; descriptor < 3; ++descriptor)
                  if (closed >> descriptor & 1) ::close(descriptor);
                prepare_process();
                if (::open("/dev/zero", O_RDONLY) < 3) return 1;
                char byte;
                // The end of an empty input, a result that is not lost in silence, and messages that end nothing.
                if ((closed & 1) && ::read(0, &byte, 1) != 0) return 2;
                if ((closed & 2) && ::write(1, "x", 1) >= 0) return 3;
                if ((closed & 4) && ::write(2, "x", 1) != 1) return 4;
                return 0;
              }),
              0)
        << closed;
}

TEST(Process, AReaderThatWentAwayEndsNothing) {
  EXPECT_EQ(in_child([] {
              prepare_process();
              int pipe[2];
              if (::pipe(pipe) != 0) return 1;
              ::close(pipe[0]);
              return ::write(pipe[1], "x", 1) == -1 && errno == EPIPE ? 0 : 2;
            }),
            0);
}

TEST(StopSignal, PutsBackWhatWasThereAndLeavesIgnoredOnesIgnored) {
  EXPECT_EQ(in_child([] {
              std::signal(SIGINT, SIG_IGN);
              static volatile std::sig_atomic_t seen = 0;
              std::signal(SIGUSR1, [](int) { seen = 1; });
              {
                const StopSignal stop;
                std::raise(SIGINT);
                if (StopSignal::requested()) return 1;
                std::raise(SIGUSR1);
                if (!StopSignal::requested() || seen) return 2;
              }
              std::raise(SIGINT);
              std::raise(SIGUSR1);
              return seen ? 0 : 3;
            }),
            0);
}

}  // namespace
}  // namespace unlabel::launch
