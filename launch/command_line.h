#pragma once

#include <unlabel/augment/options.h>

#include <nlohmann/json.hpp>

#include <string>
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

/// A parsed command line.
struct CommandLine {
  bool help = false;
  /// What is given, as one flat object of the fields' dotted names, with values of their types.
  nlohmann::json values = nlohmann::json::object();

  bool has(const std::string& name) const { return values.contains(name); }
  /// A text that is given, or "".
  std::string get(const std::string& name) const { return values.value(name, ""); }
  /// Sets the fields in `table`.
  void apply(OptionTable& table) const { table.from_json(values, "command line"); }
};

/// Reads `--name value`, `--name=value`, `--section.key value` (dashes and underscores are the same) and positional arguments by the
/// fields of `table`; a yes/no field alone means yes. Throws UsageError for an unknown or repeated option, naming the nearest one, and,
/// unless the line asks for help, for a value of the wrong type.
CommandLine parse_command_line(const std::vector<std::string>& arguments, const OptionTable& table,
                               const CommandSpec& spec);

/// The settings of a flat object that are in `section`, by their names in it: of {"swav.epsilon": 0.03, "seed": 1} {"epsilon": 0.03}.
nlohmann::json in_section(const nlohmann::json& values, const std::string& section);

/// A field's name as a person writes it: "batch_size" as "batch-size".
std::string with_dashes(std::string name);

/// Prints the help to stdout when the line asks for it; true: the command is done.
bool print_help(const CommandLine& line, const OptionTable& table, const CommandSpec& spec);

/// The text of --help: usage, summary, and every field with its type, its present value and its line, by section.
std::string help_text(const OptionTable& table, const CommandSpec& spec);

}  // namespace unlabel::launch
