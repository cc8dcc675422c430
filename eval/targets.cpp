#include <unlabel/eval/targets.h>

#include <torch/types.h>

namespace unlabel::eval {

Targets make_targets(const Features& train, const Features& test) {
  Targets targets;
  std::tie(targets.class_labels, targets.train) = at::_unique(train.labels, /*sorted=*/true, /*return_inverse=*/true);
  const auto labels = match_labels(test, train.class_names);
  const auto slot = torch::searchsorted(targets.class_labels, labels).clamp_max(targets.classes() - 1);
  const auto seen = targets.class_labels.index_select(0, slot).eq(labels);
  targets.test = slot.where(seen, torch::full_like(slot, -1));
  return targets;
}

Hits& Hits::operator+=(const Hits& other) {
  top1 += other.top1;
  top5 += other.top5;
  return *this;
}

Hits count_hits(const at::Tensor& scores, const at::Tensor& target) {
  // Scores that are not finite compare as false with everything: no rank of theirs counts.
  const auto known = target.ge(0) & scores.isfinite().all(1);
  const auto wanted = target.clamp_min(0).unsqueeze(1);
  const auto wanted_score = scores.gather(1, wanted);
  const auto class_number = torch::arange(scores.size(1), wanted.options()).unsqueeze(0);
  const auto ahead = (scores.gt(wanted_score) | (scores.eq(wanted_score) & class_number.lt(wanted))).sum(1);
  return {(ahead.eq(0) & known).sum().item<std::int64_t>(), (ahead.lt(5) & known).sum().item<std::int64_t>()};
}

}  // namespace unlabel::eval
