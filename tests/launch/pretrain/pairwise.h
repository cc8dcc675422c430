#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <tuple>
#include <vector>

namespace unlabel::launch {

using PlannedSetting = std::vector<std::size_t>;  ///< of a value of each factor, by its place

/// A pair of values of two factors: factor, value, factor, value.
using Pair = std::tuple<std::size_t, std::size_t, std::size_t, std::size_t>;

inline std::vector<Pair> pairs_of(const PlannedSetting& choice) {
  std::vector<Pair> pairs;
  for (std::size_t a = 0; a < choice.size(); ++a)
    for (std::size_t b = a + 1; b < choice.size(); ++b) pairs.emplace_back(a, choice[a], b, choice[b]);
  return pairs;
}

/// All choices of factors with so many values.
inline std::vector<PlannedSetting> product(const std::vector<std::size_t>& values) {
  std::vector<PlannedSetting> all{{}};
  for (const auto count : values) {
    std::vector<PlannedSetting> longer;
    for (const auto& begun : all)
      for (std::size_t value = 0; value < count; ++value) {
        longer.push_back(begun);
        longer.back().push_back(value);
      }
    all = std::move(longer);
  }
  return all;
}

/// Few choices in which each pair of values of two factors occurs: greedily the one with the most new pairs, of equals the one that a hash
/// of its place puts first. Always the same.
inline std::vector<PlannedSetting> covering_set(const std::vector<std::size_t>& values) {
  const auto all = product(values);
  std::set<Pair> missing;
  for (const auto& choice : all)
    for (const auto& pair : pairs_of(choice)) missing.insert(pair);
  std::vector<PlannedSetting> taken;
  while (!missing.empty()) {
    std::size_t best = 0;
    std::pair<std::int64_t, std::uint64_t> most{-1, 0};
    for (std::size_t i = 0; i < all.size(); ++i) {
      std::int64_t gained = 0;
      for (const auto& pair : pairs_of(all[i])) gained += missing.contains(pair);
      if (const std::pair<std::int64_t, std::uint64_t> rank{gained, (i + 1) * 0x9e3779b97f4a7c15u}; rank > most)
        most = rank, best = i;
    }
    for (const auto& pair : pairs_of(all[best])) missing.erase(pair);
    taken.push_back(all[best]);
  }
  return taken;
}

}  // namespace unlabel::launch
