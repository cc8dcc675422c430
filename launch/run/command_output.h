#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <set>
#include <string>
#include <vector>

namespace unlabel::launch {

/// JSON as our files hold it: indented, ended by a newline; bytes that are no UTF-8 (in paths) are replaced.
std::string json_text(const nlohmann::json& json);

/// What comes from outside (names of files, and messages that hold them) as a line for a terminal: control characters become '?'.
std::string printable(std::string text);

/// A file that an option names, or a folder of data: of the latter everything that is there is read.
struct NamedFile {
  std::string option, path;
};

/// The folder of a data set, by its spec (data::open_dataset); an empty path for an empty one.
NamedFile data_folder(const std::string& option, const std::string& spec);

/// Throws UsageError when nothing can be written at `path`, which `option` names: its folder is missing, it is a folder, there is no
/// permission; and when what stands there would be lost: it is one of `others`, which the command reads or writes too (through links, or
/// by another name), it is in the folder of one and is not named like a result (.json, .jsonl, .npy, .safetensors), or it is a file of a
/// run (is_file_of_run; `run`: the folder of one that is to begin). Every command calls it for each of its results before it begins to
/// work. Nothing is said of an empty path and of "-".
void require_output(const std::string& option, const std::string& path, const std::vector<NamedFile>& others = {},
                    const std::string& run = "");

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
  std::size_t more_ = 0;        ///< that are not kept
  std::set<std::size_t> told_;  ///< hashes of all
  std::vector<std::string> sentences_;
};

/// Where a command's JSON goes, by `--json`: nowhere when it is empty, stdout for "-", else a file (as data::AtomicFile writes one).
/// `warnings` become its key of that name, an empty list when there are none. That stdout could not be written is told by
/// unwritten_output().
void write_result(const std::string& place, nlohmann::json result, const std::vector<std::string>& warnings);

/// A line for people: on stdout, or on stderr when stdout carries the JSON. It is the result where there is no `json_place`; elsewhere a
/// line that cannot be written ends nothing.
void print_line(const std::string& json_place, const std::string& line);

/// A line for people that is no result: on stdout, or on stderr when stdout carries the JSON. That it cannot be written ends nothing.
void print_message(const std::string& json_place, const std::string& line);

/// Why what was written to stdout did not get there; empty when it did. For the program's end.
std::string unwritten_output();

}  // namespace unlabel::launch
