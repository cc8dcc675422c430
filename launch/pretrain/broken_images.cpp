#include <unlabel/augment/json_line.h>
#include <unlabel/launch/pretrain/broken_images.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace unlabel::launch {

namespace {
constexpr double kShare = 0.01, kFew = 10, kShareOfFew = 0.25;  ///< the default budget: see the constructor's formula
}

BrokenImages::BrokenImages(std::int64_t images, std::optional<double> budget) {
  const auto all = static_cast<double>(images);
  const auto most = budget ? *budget * all : std::max(kShare * all, std::min(kFew, kShareOfFew * all));
  most_ = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(most)));
}

bool BrokenImages::record(std::int64_t index) {
  indices_.insert(index);
  return count() < most_;
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
