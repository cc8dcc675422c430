#pragma once

#include <unlabel/launch/pretrain/pretrain_options.h>

#include <nlohmann/json.hpp>

#include <string>

namespace unlabel::launch {

/// What decides a run: `settings`, a list of {setting, here, paper, why} for each that was planned, given, or is in the recipe of the
/// paper's main run (null: left to the preset of views); `paper`, that recipe's name or null; `warnings`, what is not likely to work.
nlohmann::json explain(const ResolvedOptions& resolved, const CommandLine& line);

/// The same as a table for people.
std::string explanation_text(const nlohmann::json& explained);

}  // namespace unlabel::launch
