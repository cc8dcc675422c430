#include <unlabel/augment/error.h>
#include <unlabel/augment/options.h>
#include <unlabel/data/dataset.h>
#include <unlabel/eval/labels.h>

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

namespace unlabel::eval {

namespace {

constexpr std::int64_t kBlockRows = 8192;

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

// Test labels in the training set's numbering; -1 for a class name that it does not have.
at::Tensor match_labels(const Labels& test, const std::vector<std::string>& train_class_names) {
  if (test.class_names.empty() || train_class_names.empty() || test.class_names == train_class_names)
    return test.labels;
  std::map<std::string, std::int64_t> label_of;
  for (std::size_t i = 0; i < train_class_names.size(); ++i) label_of.emplace(train_class_names[i], i);
  std::vector<std::int64_t> matched(test.class_names.size() + 1, -1);  // the last is for unlabeled rows, -1
  for (std::size_t i = 0; i < test.class_names.size(); ++i)
    if (const auto found = label_of.find(test.class_names[i]); found != label_of.end()) matched[i] = found->second;
  return torch::tensor(matched, torch::kInt64).index({test.labels});
}

}  // namespace

Labels labels_of(const data::Dataset& dataset, const at::Tensor& samples) {
  // The number of each sample is replaced by its label.
  const auto labels = samples.defined() ? samples.clone() : torch::arange(dataset.size(), torch::kInt64);
  auto* label = labels.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < labels.size(0); ++i) label[i] = dataset.label(label[i]);
  return {labels, dataset.class_names(), dataset.description()};
}

void require_labeled(const Labels& train, const Labels& test) {
  for (const auto& [set, name] : {std::pair{&train, "training"}, {&test, "test"}}) {
    const auto in = set->source.empty() ? "" : concat(" (", set->source, ")");
    if (set->size() == 0) throw UsageError("there are no ", name, " images to measure with", in);
    const auto unlabeled = (set->labels < 0).sum().item<std::int64_t>();
    if (unlabeled > 0)
      throw UsageError(unlabeled, " of ", set->size(), " ", name, " images have no label", in,
                       ", and this measurement needs a label for each: use a folder with one sub-folder per class");
  }
}

std::string shortened(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 5;
  if (names.size() <= kShown + 1) return joined(names, ", ");
  return concat(joined({names.begin(), names.begin() + kShown}, ", "), ", ... (", names.size(), " in all)");
}

std::string unknown_classes(const UnknownClasses& unknown, std::int64_t test_images) {
  if (unknown.images == 0) return "";
  return concat(unknown.images, " of ", test_images, " test images belong to classes without training images (",
                shortened(unknown.names), ") and count as wrong");
}

Targets make_targets(const Labels& train, const Labels& test) {
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
        "; classes are matched by name: give the folders of test images the names of the training folders");
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

TopKCounts count_top_k(const at::Tensor& features, const at::Tensor& target,
                       const std::function<at::Tensor(const at::Tensor&)>& classify) {
  TopKCounts counts;
  for (std::int64_t row = 0; row < features.size(0); row += kBlockRows) {
    const auto rows = std::min(kBlockRows, features.size(0) - row);
    const auto scores = classify(features.narrow(0, row, rows));
    counts += count_top_k(scores, target.narrow(0, row, rows).to(scores.device()));
  }
  return counts;
}

void ClassificationResult::set_sizes(const Targets& targets) {
  train_images = targets.train.size(0);
  test_images = targets.test.size(0);
  classes = targets.classes();
  unknown = targets.unknown;
}

void ClassificationResult::set_counts(const TopKCounts& counts) {
  accuracy = double(counts.top1) / double(test_images);
  if (classes > 5) accuracy_top5 = double(counts.top5) / double(test_images);
  tied = counts.tied;
}

}  // namespace unlabel::eval
