#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace unlabel::launch {

/// JSON as our files hold it: indented, ended by a newline; bytes that are no UTF-8 (in paths) are replaced.
std::string json_text(const nlohmann::json& json);

/// What comes from outside (names of files, and messages that hold them) as a line for a terminal: control characters become '?'.
std::string printable(std::string text);

/// Throws UsageError when no file can be written at `path` because its folder is not there; so a long job says it at its start.
/// Nothing is said of an empty path and of "-".
void require_folder_of(const std::string& option, const std::string& path);

/// Where a command's JSON goes, by `--json`: nowhere when it is empty, stdout for "-", else a file (written atomically).
void write_result(const std::string& place, const nlohmann::json& result);

/// A line for people: on stdout, or on stderr when stdout carries the JSON.
void print_line(const std::string& json_place, const std::string& line);

}  // namespace unlabel::launch
