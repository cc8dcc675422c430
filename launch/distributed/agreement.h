#pragma once

#include <unlabel/ssl/group.h>

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace unlabel::launch {

/// A value that must be equal on all ranks; otherwise they would compute inconsistent results, or wait for each other for ever.
struct SharedValue {
  std::string difference;  ///< for the message "rank 1 has DIFFERENCE than rank 0": "other settings", "another command"
  nlohmann::json value;    ///< compared as a whole; for objects the message names the fields that differ
  std::string advice;      ///< what the user should do: "start all ranks with the same command"
};

/// Compares every rank's values with those of rank 0. Collective: all ranks must call it, before the collectives that depend on these
/// values. Throws the same MismatchError (exit code 93) on every rank for the first value that differs, with both values.
void require_equal_on_all_ranks(const ssl::Group& group, const std::vector<SharedValue>& values);

/// The value that all ranks run the same version of the program.
SharedValue same_program();

/// The fields in which `given` differs from `expected`: "swav.epsilon 0.03 and not 0.05, ..."; empty when there are none.
std::string differences(const nlohmann::json& expected, const nlohmann::json& given);

}  // namespace unlabel::launch
