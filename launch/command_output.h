#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace unlabel::launch {

/// JSON as our files hold it: indented, ended by a newline; bytes that are no UTF-8 (in paths) are replaced.
std::string json_text(const nlohmann::json& json);

/// What comes from outside (names of files, and messages that hold them) as a line for a terminal: control characters become '?'.
std::string printable(std::string text);

/// Throws UsageError when no file can be written at `path` because its folder is not there; so a long job says it at its start.
/// Nothing is said of an empty path and of "-".
void require_folder_of(const std::string& option, const std::string& path);

/// What makes a result doubtful, or must be known beside it: whole sentences without a full stop. Each is printed once, when it is added
/// ("warning: ..." on stderr), and all of them stand in the command's JSON under the key `warnings`.
class Warnings {
 public:
  /// `printed`: whether this process prints them (rank 0).
  explicit Warnings(bool printed = true) : printed_(printed) {}
  void add(const std::string& sentence);
  /// In the order in which they were added; beyond 100 different ones only their number.
  std::vector<std::string> sentences() const;

 private:
  bool printed_;
  std::size_t more_ = 0;  ///< that are not kept
  std::vector<std::string> sentences_;
};

/// Where a command's JSON goes, by `--json`: nowhere when it is empty, stdout for "-", else a file (written atomically). `warnings` become
/// its key of that name, an empty list when there are none.
void write_result(const std::string& place, nlohmann::json result, const std::vector<std::string>& warnings);

/// A line for people: on stdout, or on stderr when stdout carries the JSON.
void print_line(const std::string& json_place, const std::string& line);

}  // namespace unlabel::launch
