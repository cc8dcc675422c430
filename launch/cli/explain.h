#pragma once

#include <unlabel/launch/pretrain/pretrain_options.h>

#include <nlohmann/json.hpp>

#include <string>

namespace unlabel::launch {

/// What decides a run: `settings`, a list of {setting, here, paper, layer, why} for each that a layer but the defaults has (of a run that
/// goes on: with another value) or the recipe of the paper's main run (`paper` null: left to the preset of views); `layer` is its
/// OptionLayer::name. Beside it `paper`, that recipe's name or null, and `warnings`, what is not likely to work.
nlohmann::json explain(const ResolvedOptions& resolved);

/// The same as a table for people.
std::string explanation_text(const nlohmann::json& explained);

}  // namespace unlabel::launch
