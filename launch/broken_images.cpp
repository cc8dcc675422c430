#include <unlabel/augment/json_line.h>
#include <unlabel/launch/broken_images.h>

#include <string>

namespace unlabel::launch {

BrokenImages::BrokenImages(std::int64_t images, double budget) : most_(budget * static_cast<double>(images)) {}

bool BrokenImages::take(std::int64_t index) {
  indices_.insert(index);
  return static_cast<double>(indices_.size()) < most_;
}

std::vector<nlohmann::json> gather_replacements(const ssl::Group& group, const std::vector<data::Replacement>& mine,
                                                std::int64_t step) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& item : mine)
    list.push_back({{"step", step},
                    {"index", item.index},
                    {"name", item.name},
                    {"reason", item.reason},
                    {"replacement", item.replacement}});
  std::vector<nlohmann::json> all;
  for (const auto& text : ssl::gather_texts(group, json_line(list)))
    for (auto& object : nlohmann::json::parse(text)) all.push_back(std::move(object));
  return all;
}

}  // namespace unlabel::launch
