#pragma once

#include <unlabel/launch/distributed/environment.h>
#include <unlabel/launch/pretrain/pretrain_options.h>

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace unlabel::launch {

/// The result of a run that ended without an error.
struct PretrainResult {
  int exit_code = 0;       ///< 0: finished; 75: stopped on request, with a complete checkpoint
  nlohmann::json summary;  ///< method, steps, final_loss, collapse (names of failed checks), images_per_second ...
  std::vector<std::string> warnings;  ///< all warnings of the run, for its JSON
};

/// Pretrains an encoder; the training loop is in pretrain.cpp. Resumes from the newest checkpoint in `options.out` when there is one.
/// Throws Error as the parts do, and MismatchError (exit code 93) when too many losses or gradients are not finite.
PretrainResult pretrain(const ResolvedOptions& resolved, const Environment& environment);

}  // namespace unlabel::launch
