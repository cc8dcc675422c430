#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace unlabel::ssl {

/// The names of the recipes that are part of the library, sorted: those of published papers and code, and small ones of this project. They
/// are the files of ssl/planning/recipes/, compiled into the library, so that programs need no other files.
const std::vector<std::string>& recipe_names();

/// The recipe with this name, or from a JSON file if `name` ends in .json or contains a slash.
///
///     {
///       "method": "swav",                 the method to train; the section with its name has its options
///       "description": "...",             one line: what it trains, and the published accuracy, if any
///       "source": "...",                  where the settings come from
///       "epochs": 400, "batch_size": 256, the batch is global: samples per update, over all ranks
///       "precision": "fp16",
///       "batch_norm_images": 512,         images that share batch statistics; 0: the whole batch
///       "encoder": {...}, "swav": {...}, "optimizer": {...}, "schedule": {...},
///       "augment": {"preset": "swav", ...}  with the options of augment/transforms/presets.h
///     }
///
/// Settings that a recipe does not have keep their defaults. Throws UsageError for an unknown name (the message has the most similar name
/// and all names), and for a file that cannot be read or whose JSON is not an object.
nlohmann::json find_recipe(const std::string& name);

}  // namespace unlabel::ssl
