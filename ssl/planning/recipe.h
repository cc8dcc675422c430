#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace unlabel::ssl {

/// The recipes that come with the library, in order of their names: those of the published scripts and small ones of ours.
/// They are the files of ssl/planning/recipes/, kept inside the library, so that a program needs no files beside it.
const std::vector<std::string>& recipe_names();

/// A recipe by its name, or from a JSON file of one's own when `name` ends in .json or holds a slash.
///
///     {
///       "method": "swav",                 what to train; the section of that name has its options
///       "description": "...",             one line: what it is, and what it reached where that was published
///       "source": "...",                  where the settings come from
///       "epochs": 400, "batch_size": 256, the batch is global: samples an update, over all ranks
///       "precision": "fp16",
///       "batch_norm_images": 512,         images that share batch statistics; 0: the whole batch
///       "encoder": {...}, "swav": {...}, "optimizer": {...}, "schedule": {...},
///       "augment": {"preset": "swav", ...}  with the options of augment/transforms/presets.h
///     }
///
/// A recipe overlays the defaults: keys that it lacks stay as they are. Throws UsageError for an unknown name, naming
/// the nearest and all there are, and for a file that cannot be read or is not an object.
nlohmann::json find_recipe(const std::string& name);

}  // namespace unlabel::ssl
