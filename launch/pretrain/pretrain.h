#pragma once

#include <unlabel/launch/distributed/environment.h>
#include <unlabel/launch/pretrain/pretrain_options.h>

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace unlabel::launch {

/// How a run ended.
struct PretrainResult {
  int exit_code = 0;                  ///< 0 done; 75 stopped on request with a complete checkpoint
  nlohmann::json summary;             ///< method, steps, final_loss, collapse (the signs of it), images_per_second ...
  std::vector<std::string> warnings;  ///< what was said of it, for its JSON
};

/// Pretrains: the whole loop is in pretrain.cpp. Goes on from the newest checkpoint in `options.out` when there is one. Throws Error as the
/// parts do; a loss that is not finite is a MismatchError (exit code 93).
PretrainResult pretrain(const ResolvedOptions& resolved, const Environment& environment);

}  // namespace unlabel::launch
