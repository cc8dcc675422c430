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

/// Prints a line for each file that is not used; of many with one reason, only the first ones.
void print_refused(const std::string& json, const std::vector<data::CheckedFile>& files) {
  constexpr std::int64_t kMaxLines = 20;
  std::map<std::string, std::int64_t> counts;
  for (const auto& file : files)
    if (++counts[file.reason] <= kMaxLines)
      print_line(json, printable(concat("refused  ", file.path, ": ", file.reason)));
  for (const auto& [reason, count] : counts)
    if (count > kMaxLines)
      print_line(json, printable(concat("refused  and ", count - kMaxLines, " more (--json lists all): ", reason)));
}

}  // namespace

int command_check(const std::vector<std::string>& arguments) {
  std::string data, json;
  data::CheckOptions options;
  options.threads = augment::usable_processors().threads;
  OptionTable fields;
  fields.add("data", data,
             "a folder, all of whose files are checked, or with the format named: " + data::format_prefixes());
  fields.add("threads", options.threads, "decoding threads");
  fields.add("json", json, "write the result to this file; -: to stdout");
  fields.section("decode", augment::table(options.decode));
  const CommandSpec spec{
      "unlabel check DATA [options]",
      "Says for every file of a data set whether pretrain uses it, and if not, why: its name is not that of an image,\n"
      "it is hidden, or its folder is ignored. Decodes the files that are used. Exit code 1 when one of them is\n"
      "broken, or none is used.",
      {"data"},
      "examples:\n"
      "  unlabel check ~/photos"};
  const auto line = parse_command_line(arguments, fields, spec);
  if (print_help(line, fields, spec)) return 0;
  line.apply(fields);
  if (data.empty()) throw UsageError("no data given: unlabel check DATA");
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
                          report.refused.size(), " not used"));
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
