#include <unlabel/augment/error.h>
#include <unlabel/augment/options.h>
#include <unlabel/eval/targets.h>

#include <torch/types.h>

#include <cmath>

namespace unlabel::eval {

namespace {

// The names of labels that occur, in the order of the labels.
std::vector<std::string> names_of(const at::Tensor& labels, const std::vector<std::string>& class_names) {
  std::vector<std::string> names;
  const auto distinct = std::get<0>(at::_unique(labels, /*sorted=*/true));
  for (std::int64_t i = 0; i < distinct.size(0); ++i) {
    const auto label = distinct[i].item<std::int64_t>();
    names.push_back(label < static_cast<std::int64_t>(class_names.size()) ? class_names[static_cast<std::size_t>(label)]
                                                                          : std::to_string(label));
  }
  return names;
}

}  // namespace

std::string shortened(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 5;
  if (names.size() <= kShown + 1) return joined(names, ", ");
  return concat(joined({names.begin(), names.begin() + kShown}, ", "), ", ... (", names.size(), " in all)");
}

std::string unknown_classes(const UnknownClasses& unknown, std::int64_t test_images) {
  if (unknown.images == 0) return "";
  return concat(unknown.images, " of ", test_images, " test images are of classes that no training image is of (",
                shortened(unknown.names), ") and count as wrong");
}

Targets make_targets(const Features& train, const Features& test) {
  Targets targets;
  std::tie(targets.class_labels, targets.train) = at::_unique(train.labels, /*sorted=*/true, /*return_inverse=*/true);
  const auto labels = match_labels(test, train.class_names);
  const auto slot = torch::searchsorted(targets.class_labels, labels).clamp_max(targets.classes() - 1);
  const auto seen = targets.class_labels.index_select(0, slot).eq(labels);
  targets.test = slot.where(seen, torch::full_like(slot, -1));
  const auto unseen = test.labels.masked_select(seen.logical_not());
  targets.unknown = {names_of(unseen, test.class_names), unseen.size(0)};
  if (unseen.size(0) == labels.size(0))
    throw UsageError(
        "none of the test classes ", shortened(targets.unknown.names), " is among the training classes ",
        shortened(names_of(train.labels, train.class_names)),
        "; classes are matched by name: name the folders of the test images as those of the training images");
  return targets;
}

TopKCounts& TopKCounts::operator+=(const TopKCounts& other) {
  top1 += other.top1;
  top5 += other.top5;
  tied += other.tied;
  return *this;
}

at::Tensor tied_rows(const at::Tensor& scores) { return scores.eq(scores.amax(1, /*keepdim=*/true)).sum(1).gt(1); }

TopKCounts count_top_k(const at::Tensor& scores, const at::Tensor& target) {
  const auto wanted = target.clamp_min(0).unsqueeze(1);
  const auto wanted_score = scores.gather(1, wanted);
  const auto known = target.ge(0) & scores.lt(INFINITY).all(1) & wanted_score.squeeze(1).gt(-INFINITY);
  const auto class_number = torch::arange(scores.size(1), wanted.options()).unsqueeze(0);
  const auto ahead = (scores.gt(wanted_score) | (scores.eq(wanted_score) & class_number.lt(wanted))).sum(1);
  return {(ahead.eq(0) & known).sum().item<std::int64_t>(), (ahead.lt(5) & known).sum().item<std::int64_t>(),
          tied_rows(scores).sum().item<std::int64_t>()};
}

}  // namespace unlabel::eval
