#include <unlabel/augment/error.h>
#include <unlabel/augment/processors.h>
#include <unlabel/data/check.h>
#include <unlabel/data/formats.h>
#include <unlabel/launch/cli/commands.h>
#include <unlabel/launch/command_line.h>
#include <unlabel/launch/run/command_output.h>

#include <algorithm>
#include <cstdint>
#include <map>

namespace unlabel::launch {

namespace {
nlohmann::json list(const std::vector<data::CheckedFile>& files) {
  auto json = nlohmann::json::array();
  for (const auto& file : files) json.push_back({{"path", file.path}, {"reason", file.reason}});
  return json;
}

/// Files that are not taken, a line each; of many with one reason the first ones.
void print_refused(const std::string& json, const std::vector<data::CheckedFile>& files) {
  constexpr std::int64_t kMost = 20;
  std::map<std::string, std::int64_t> counts;
  for (const auto& file : files)
    if (++counts[file.reason] <= kMost) print_line(json, printable(concat("refused  ", file.path, ": ", file.reason)));
  for (const auto& [reason, count] : counts)
    if (count > kMost)
      print_line(json, printable(concat("refused  and ", count - kMost, " more (--json lists all): ", reason)));
}

}  // namespace

int command_check(const std::vector<std::string>& arguments) {
  std::string data, json;
  data::CheckOptions options;
  options.threads = augment::usable_processors().threads;
  OptionTable fields;
  fields.add("data", data, "a folder, whose files are all looked at, or " + data::format_prefixes());
  fields.add("threads", options.threads, "threads that decode");
  fields.add("json", json, "write the result to this file; -: to stdout");
  fields.section("decode", augment::table(options.decode));
  const CommandSpec spec{
      "unlabel check DATA [options]",
      "Tells of every file of a data set whether pretrain takes it, and why not (its name, hidden, a folder that is "
      "left out), and\ndecodes what is taken. Ends with 1 when any of that is broken, or nothing is taken.",
      {"data"},
      "examples:\n"
      "  unlabel check ~/photos"};
  const auto line = parse_command_line(arguments, fields, spec);
  if (print_help(line, fields, spec)) return 0;
  line.apply(fields);
  if (data.empty()) throw UsageError("what is to be checked? unlabel check DATA");
  require_output("--json", json, {data_folder("DATA", data)});
  Warnings warnings;
  const auto report = data::check_data(data, options);

  for (const auto& file : report.broken) print_line(json, printable(concat("broken   ", file.path, ": ", file.reason)));
  print_refused(json, report.refused);
  for (const auto& note : report.notes) warnings.add(note);
  const auto split =
      report.test > 0 ? concat(" (", report.ok - report.test, " to train on, ", report.test, " to test)") : "";
  print_line(json, concat(report.files, report.files == 1 ? " file: " : " files: ", report.ok, " can be used", split,
                          ", ", report.broken.size(), report.broken.size() == 1 ? " is broken, " : " are broken, ",
                          report.refused.size(), " not taken"));
  write_result(json,
               {{"data", data},
                {"files", report.files},
                {"ok", report.ok},
                {"train", report.ok - report.test},
                {"test", report.test},
                {"refused", report.refused.size()},
                {"broken", list(report.broken)},
                {"refused_files", list(report.refused)}},
               warnings.sentences());
  return report.broken.empty() && report.ok > 0 ? 0 : 1;
}

}  // namespace unlabel::launch
