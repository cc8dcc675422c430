#pragma once

#include <unlabel/ssl/group.h>

#include <nlohmann/json.hpp>

#include <string>

namespace unlabel::launch {

/// What decides the last digits of sums on a processor, of every rank: [{"threads": 2, "capability": "AVX512", "kernels": "vnni, bf16"},
/// ...]. All ranks must call it.
nlohmann::json gather_arithmetic(const ssl::Group& group);

/// Where ranks compute otherwise than they did `before`: "rank 1 computed on 2 thread(s) with AVX2 and does on 1 thread(s) with AVX512";
/// of ranks that both have. Empty when nothing has changed.
std::string arithmetic_changes(const nlohmann::json& before, const nlohmann::json& now);

/// Where ranks compute otherwise than rank 0: "rank 1 on 2 thread(s) with AVX2 and rank 0 on ...". Empty when all are alike.
std::string arithmetic_differences(const nlohmann::json& now);

}  // namespace unlabel::launch
