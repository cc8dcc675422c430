#pragma once

#include <unlabel/augment/options.h>

#include <string>
#include <utility>
#include <vector>

namespace unlabel::launch {

/// What a subcommand takes, for parsing and for --help.
struct CommandSpec {
  std::string usage;                     ///< "unlabel knn --checkpoint RUN|FILE --data DIR [options]"
  std::string summary;                   ///< what it does, in a sentence or two
  std::vector<std::string> positionals;  ///< names of the arguments without a dash, in order; fields of the table
  std::string more;                      ///< printed last: examples
  std::vector<std::string> left_out{};   ///< sections that --help passes over
};

/// A parsed command line: what was given, in order, by field name. Nothing is set yet, so that a recipe can come first.
struct CommandLine {
  bool help = false;
  std::vector<std::pair<std::string, std::string>> given;

  bool has(const std::string& name) const;
  /// The last value given, or `otherwise`.
  std::string get(const std::string& name, const std::string& otherwise = "") const;
  /// Sets the fields in `table`. Throws UsageError for a value of the wrong type.
  void apply(OptionTable& table) const;
};

/// Reads `--name value`, `--name=value`, `--section.key value` (dashes and underscores are the same) and positional arguments by the
/// fields of `table`; a yes/no field alone means yes. Throws UsageError for an unknown or repeated option, naming the nearest one.
CommandLine parse_command_line(const std::vector<std::string>& arguments, const OptionTable& table,
                               const CommandSpec& spec);

/// A field's name as a person writes it: "batch_size" as "batch-size".
std::string with_dashes(std::string name);

/// Prints the help to stdout when the line asks for it; true: the command is done.
bool print_help(const CommandLine& line, const OptionTable& table, const CommandSpec& spec);

/// The text of --help: usage, summary, and every field with its type, its present value and its line, by section.
std::string help_text(const OptionTable& table, const CommandSpec& spec);

}  // namespace unlabel::launch
