#pragma once

#include <unlabel/launch/pretrain_options.h>

#include <string>

namespace unlabel::launch {

/// A table of what decides a run: each setting that was planned, given, or is in the recipe of the paper's main run; its value here and in
/// the paper, and why it is so. Then what is not likely to work.
std::string explain(const ResolvedOptions& resolved, const CommandLine& line);

}  // namespace unlabel::launch
