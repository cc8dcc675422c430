#include <unlabel/augment/error.h>
#include <unlabel/launch/command_line.h>

#include <boost/program_options.hpp>

#include <algorithm>
#include <cstdio>
#include <map>

namespace unlabel::launch {

namespace po = boost::program_options;

std::string with_dashes(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

namespace {

std::string with_underscores(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

/// "--queue_length=3" as "--queue-length=3": both spellings are taken.
std::string normalized(const std::string& argument) {
  if (!argument.starts_with("--")) return argument;
  const auto equals = argument.find('=');
  return with_dashes(argument.substr(0, equals)) + (equals == std::string::npos ? "" : argument.substr(equals));
}

/// A value as it is written on the command line: yes, 0.3, 3000,3000; empty for null.
std::string written(const nlohmann::json& value) {
  if (value.is_null()) return "";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::vector<std::string> items;
  std::ranges::transform(value, std::back_inserter(items), written);
  return joined(items, ",");
}

}  // namespace

nlohmann::json in_section(const nlohmann::json& values, const std::string& section) {
  auto found = nlohmann::json::object();
  for (const auto& [name, value] : values.items())
    if (name.starts_with(section + ".")) found[name.substr(section.size() + 1)] = value;
  return found;
}

CommandLine parse_command_line(const std::vector<std::string>& arguments, const OptionTable& table,
                               const CommandSpec& spec) {
  po::options_description description;
  description.add_options()("help,h", "");
  std::vector<std::string> names{"help"};
  for (const auto& field : table.fields()) {
    auto* value = po::value<std::string>();
    if (field.kind == detail::OptionKind::kYesNo) value->implicit_value("true");
    description.add_options()(with_dashes(field.name).c_str(), value, "");
    names.push_back(with_dashes(field.name));
  }
  po::positional_options_description positionals;
  for (const auto& name : spec.positionals) positionals.add(with_dashes(name).c_str(), 1);

  std::vector<std::string> texts;
  std::transform(arguments.begin(), arguments.end(), std::back_inserter(texts), normalized);
  const std::string see = "; see --help";
  CommandLine line;
  try {
    const auto style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    auto parsed = po::command_line_parser(texts).options(description).positional(positionals).style(style).run();
    line.help = std::ranges::any_of(parsed.options, [](const auto& option) { return option.string_key == "help"; });
    for (const auto& option : parsed.options) {
      if (option.string_key == "help") continue;
      const std::string name = with_underscores(option.string_key);
      if (line.has(name)) throw UsageError("--", option.string_key, " is given twice");
      const std::string text = option.value.empty() ? "true" : option.value.front();
      try {
        line.values[name] = line.help ? nlohmann::json(text) : table.parse_text(name, text);
      } catch (const UsageError& error) {
        throw UsageError("--", with_dashes(name), ": ", error.what());
      }
    }
  } catch (const po::unknown_option& error) {
    std::string name = error.get_option_name();
    name.erase(0, name.find_first_not_of('-'));
    throw UsageError("unknown option '--", name, "'", did_you_mean(name, names), see);
  } catch (const po::too_many_positional_options_error&) {
    throw UsageError("too many arguments without a dash; it takes ", spec.positionals.size(), see);
  } catch (const po::error& error) {
    throw UsageError(error.what(), see);
  }
  return line;
}

bool print_help(const CommandLine& line, const OptionTable& table, const CommandSpec& spec) {
  if (line.help) std::fputs(help_text(table, spec).c_str(), stdout);
  return line.help;
}

std::string help_text(const OptionTable& table, const CommandSpec& spec) {
  std::string text = "usage: " + spec.usage + "\n\n" + spec.summary + "\n";
  std::vector<std::pair<std::string, std::string>> sections;  // their names and lines
  for (const auto& field : table.fields()) {
    const auto dot = field.name.find('.');
    const std::string section = dot == std::string::npos ? "" : field.name.substr(0, dot);
    if (std::ranges::find(spec.left_out, section) != spec.left_out.end()) continue;
    auto found = std::ranges::find(sections, section, &std::pair<std::string, std::string>::first);
    if (found == sections.end()) found = sections.insert(sections.end(), {section, ""});
    auto line = "  --" + with_dashes(field.name);
    if (line.size() < 34) line.resize(34, ' ');
    line += " " + field.help;
    if (std::ranges::find(spec.positionals, field.name) != spec.positionals.end()) line += "; or the first argument";
    const bool list = field.kind == detail::OptionKind::kList || field.kind == detail::OptionKind::kTextList;
    line += concat(" (", field.type, list ? ", with commas)" : ")");
    if (const auto value = written(field.get()); field.default_shown && !value.empty())
      line += concat(" [", value, "]");
    found->second += line + "\n";
  }
  for (const auto& [section, lines] : sections)
    text += concat("\n", section.empty() ? "options" : section, ":\n", lines);
  text += "\n  --help                           this text\n";
  if (!spec.more.empty()) text += "\n" + spec.more + "\n";
  return text;
}

}  // namespace unlabel::launch
