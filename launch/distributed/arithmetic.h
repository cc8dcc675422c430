#pragma once

#include <unlabel/ssl/group.h>

#include <nlohmann/json.hpp>

#include <string>

namespace unlabel::launch {

/// What determines rounding errors of sums on a CPU, one object per rank: [{"threads": 2, "capability": "AVX512", "kernels": "vnni,
/// bf16"}, ...]. Collective: all ranks must call it.
nlohmann::json gather_arithmetic(const ssl::Group& group);

/// The differences between two results of gather_arithmetic, for the ranks that both contain: "rank 1 used 2 thread(s) with AVX2 before and
/// uses 1 thread(s) with AVX512 now". Empty when there are none.
std::string arithmetic_changes(const nlohmann::json& before, const nlohmann::json& now);

/// The first rank that differs from rank 0: "rank 1 uses 2 thread(s) with AVX2 and rank 0 uses ..."; empty when all are equal.
std::string arithmetic_differences(const nlohmann::json& now);

}  // namespace unlabel::launch
