#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <set>
#include <string>
#include <vector>

namespace unlabel::launch {

/// JSON as the project's files contain it: indented by 2, with a final newline; bytes that are not UTF-8 (in paths) become U+FFFD.
std::string json_text(const nlohmann::json& json);

/// Makes text from outside the program (file names, and messages that contain them) safe for a terminal: control characters become '?'.
std::string printable(std::string text);

/// A path that an option names: a file, or the folder of a data set, of which the command reads every file.
struct NamedFile {
  std::string option, path;
};

/// The folder of a data set, from its spec (data::open_dataset); the path is empty for an empty spec.
NamedFile data_folder(const std::string& option, const std::string& spec);

/// Checks that `path`, the value of `option`, can be written; every command calls it for each of its outputs before it starts to work.
/// Throws UsageError when `path` is a folder, its parent folder is missing, or permission is missing. Also throws UsageError when
/// writing would destroy a file: one of `others`, which the command reads or writes too (links are resolved); a file in the folder of
/// one of them, unless its suffix is that of a result (.json, .jsonl, .npy, .safetensors); or a file of a run (is_file_of_run; `run` is
/// the folder of a run that this command will start). An empty path and "-" are always accepted.
void require_output(const std::string& option, const std::string& path, const std::vector<NamedFile>& others = {},
                    const std::string& run = "");

/// Warnings of one command: what makes its result doubtful or must be read with it. Each is a sentence without a final period. It is
/// printed once, when it is added ("warning: ..." on stderr); the command's JSON lists all of them under the key `warnings`.
class Warnings {
 public:
  /// `printed`: whether this process prints them (rank 0).
  explicit Warnings(bool printed = true) : printed_(printed) {}
  void add(const std::string& sentence);
  /// All distinct warnings in the order in which they were added: the first 100, then one sentence with the number of the rest.
  std::vector<std::string> sentences() const;

 private:
  bool printed_;
  std::size_t more_ = 0;          ///< how many are not in sentences_
  std::set<std::size_t> hashes_;  ///< of all warnings added so far
  std::vector<std::string> sentences_;
};

/// Writes a command's JSON to `place`, the value of `--json`: nowhere when it is empty, stdout for "-", else a file (atomically, by
/// data::AtomicFile). Adds the key `warnings`, an empty list when there are none. Does not throw when stdout cannot be written:
/// unwritten_output() reports that.
void write_result(const std::string& place, nlohmann::json result, const std::vector<std::string>& warnings);

/// Prints a line of the result for people: on stdout, or on stderr when stdout carries the JSON (`json_place` is "-"). Without a
/// `json_place` this line is the result, so unwritten_output() reports when it could not be written; with one, that is ignored.
void print_line(const std::string& json_place, const std::string& line);

/// Prints a line for people that is not a result: on stdout, or on stderr when stdout carries the JSON. Write errors are ignored.
void print_message(const std::string& json_place, const std::string& line);

/// Why text written to stdout was lost; empty when all of it was written. To be called at the end of the program.
std::string unwritten_output();

}  // namespace unlabel::launch
