#pragma once

#include <unlabel/ssl/group.h>

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace unlabel::launch {

/// Something that every rank must hold alike, for otherwise ranks would compute different things together, or wait for each other for ever.
struct Agreement {
  std::string what;      ///< "other settings", "another command": as in "rank 1 has other settings than rank 0"
  nlohmann::json value;  ///< compared as a whole; of objects the message names the fields that differ
  std::string advice;    ///< what to do: "start all ranks with the same command"
};

/// Compares what every rank holds with what rank 0 does; to be called on all of them, before the collectives that depend on it. Throws the
/// same MismatchError (exit code 93) on every rank for the first thing that differs, with both values.
void agree_on(const ssl::Group& group, const std::vector<Agreement>& agreements);

/// The agreement that all ranks run one version of the program.
Agreement same_program();

/// "swav.epsilon 0.03 and not 0.05, ...": where `given` is not as `expected`.
std::string differences(const nlohmann::json& expected, const nlohmann::json& given);

}  // namespace unlabel::launch
