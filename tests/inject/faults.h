#pragma once

// Faults of the system on demand: preload.c says what can fail, and how rules are written.

#include <csignal>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

extern "C" {
void unlabel_inject(const char* rules);
long unlabel_injected(int index);
}

namespace unlabel::inject {

inline constexpr int kKill = -SIGKILL;  ///< for Fault::error: the process is killed in the call

struct Fault {
  std::string
      call;  ///< open read readdir write fsync access rename flock symlink unlink mkdir truncate chmod chown stat
  std::string path;            ///< a part of the file's path
  int error = 0;               ///< errno, kKill, or 0: the call only takes long
  int skip = 0;                ///< so many calls pass first
  int count = -1;              ///< and so many fail then; -1: all
  int delay_milliseconds = 0;  ///< before
  std::string flag{};          ///< only while this file is there
};

inline std::string rules_of(const std::vector<Fault>& faults) {
  std::string text;
  for (const auto& fault : faults)
    text += fault.call + "|" + fault.path + "|" + std::to_string(fault.error) + "|" + std::to_string(fault.skip) + "|" +
            std::to_string(fault.count) + "|" + std::to_string(fault.delay_milliseconds) + "|" + fault.flag + "\n";
  return text;
}

/// In this process, while it lives. One at a time. Links unlabel_inject; works under sanitizers.
class Faults {
 public:
  explicit Faults(const std::vector<Fault>& faults) { unlabel_inject(rules_of(faults).c_str()); }
  ~Faults() { unlabel_inject(""); }
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  /// How often one has come, by its place in the list: a test in which none has proves nothing.
  long injected(int index = 0) const { return unlabel_injected(index); }
};

/// The environment of a program in which they come from its start.
inline std::map<std::string, std::string> variables(const std::vector<Fault>& faults) {
  // A program that is built for AddressSanitizer wants its runtime first, and takes the library after it all the same.
  const char* const given = std::getenv("ASAN_OPTIONS");
  return {{"LD_PRELOAD", UNLABEL_INJECT_LIBRARY},
          {"UNLABEL_INJECT", rules_of(faults)},
          {"ASAN_OPTIONS", (given && *given ? std::string(given) + ":" : "") + "verify_asan_link_order=0"}};
}

}  // namespace unlabel::inject
