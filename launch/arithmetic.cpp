#include <unlabel/augment/error.h>
#include <unlabel/launch/arithmetic.h>

#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <algorithm>

namespace unlabel::launch {

namespace {
std::string shown(const nlohmann::json& one) {
  const auto capability = one.value("capability", "");
  return concat(one.value("threads", 0), " thread(s)", capability.empty() ? "" : " with ", capability);
}
}  // namespace

nlohmann::json gather_arithmetic(const ssl::Group& group) {
  const nlohmann::json mine{{"threads", at::get_num_threads()}, {"capability", at::get_cpu_capability()}};
  auto all = nlohmann::json::array();
  for (const auto& text : ssl::gather_texts(group, mine.dump())) all.push_back(nlohmann::json::parse(text));
  return all;
}

std::string arithmetic_changes(const nlohmann::json& before, const nlohmann::json& now) {
  std::string text;
  for (std::size_t rank = 0; rank < std::min(before.size(), now.size()); ++rank)
    if (before[rank] != now[rank])
      text += concat(text.empty() ? "" : "; ", "rank ", rank, " computed on ", shown(before[rank]), " and does on ",
                     shown(now[rank]));
  return text;
}

std::string arithmetic_differences(const nlohmann::json& now) {
  for (std::size_t rank = 1; rank < now.size(); ++rank)
    if (now[rank] != now[0]) return concat("rank ", rank, " on ", shown(now[rank]), " and rank 0 on ", shown(now[0]));
  return "";
}

}  // namespace unlabel::launch
