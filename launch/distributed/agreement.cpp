#include <unlabel/augment/error.h>
#include <unlabel/augment/json_text.h>
#include <unlabel/launch/distributed/agreement.h>
#include <unlabel/launch/distributed/main_setup.h>

#include <algorithm>

namespace unlabel::launch {

std::string differences(const nlohmann::json& expected, const nlohmann::json& given) {
  if (!expected.is_object() || !given.is_object()) return concat(given.dump(), " and not ", expected.dump());
  // Flattened, nested fields have names such as "/swav/epsilon".
  const auto before = expected.flatten(), now = given.flatten();
  auto fields = before;  // the union of the names; the values are not used
  fields.update(now);
  std::string text;
  for (const auto& [path, ignored] : fields.items()) {
    const auto was = before.value(path, nlohmann::json()), is = now.value(path, nlohmann::json());
    if (was == is) continue;
    std::string name = path.substr(1);
    std::ranges::replace(name, '/', '.');
    text += concat(text.empty() ? "" : ", ", name, " ", is.dump(), " and not ", was.dump());
  }
  return text;
}

SharedValue same_program() {
  return {"another version of the program", program_version(), "run the same program on all machines"};
}

void require_equal_on_all_ranks(const ssl::Group& group, const std::vector<SharedValue>& values) {
  auto mine = nlohmann::json::array();
  for (const auto& [what, value, advice] : values) mine.push_back({{"what", what}, {"value", value}});
  std::vector<nlohmann::json> by_rank;
  for (const auto& text : ssl::gather_texts(group, json_line(mine))) by_rank.push_back(nlohmann::json::parse(text));
  const auto& first = by_rank.front();
  // A rank that runs another command may compare more, fewer or other values: hence one more index than rank 0 has values.
  for (std::size_t i = 0; i <= first.size(); ++i)
    for (std::size_t rank = 1; rank < by_rank.size(); ++rank) {
      const auto& other = by_rank[rank];
      if (i == first.size() && i >= other.size()) continue;
      if (i == first.size() || i >= other.size() || other[i].at("what") != first[i].at("what"))
        throw MismatchError("rank ", rank, " runs another command than rank 0; start all ranks with the same one");
      if (other[i].at("value") == first[i].at("value")) continue;
      throw MismatchError("rank ", rank, " has ", first[i].at("what").get<std::string>(),
                          " than rank 0: ", differences(first[i].at("value"), other[i].at("value")), "; ",
                          i < values.size() ? values[i].advice : "");
    }
}

}  // namespace unlabel::launch
