#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace unlabel::launch {

/// Where a command's JSON goes, by `--json`: nowhere when it is empty, stdout for "-", else a file (written atomically).
void write_result(const std::string& place, const nlohmann::json& result);

/// A line for people: on stdout, or on stderr when stdout carries the JSON.
void print_line(const std::string& json_place, const std::string& line);

}  // namespace unlabel::launch
