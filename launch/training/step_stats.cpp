#include <unlabel/augment/error.h>
#include <unlabel/augment/options.h>
#include <unlabel/data/io/files.h>
#include <unlabel/launch/training/step_stats.h>
#include <unlabel/ssl/monitor/embedding_stats.h>

#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/types.h>

namespace unlabel::launch {

namespace {
/// Positions in the reduced vector; the diagnostics follow from kFirstDiagnostic on.
enum : std::int64_t { kLoss, kStop, kSave, kReplaced, kNames, kNamesSquared, kFirstDiagnostic };
/// The vector always has room for this many diagnostics: a different length on some rank would make the all-reduce hang or fail.
constexpr std::int64_t kMostDiagnostics = 58;

/// A 16-bit hash of the diagnostics' names: the sum of its squares over two million ranks is still exact in float64.
double hash_of(const std::vector<std::string>& names) {
  data::Fingerprint hash;
  for (const auto& name : names) {
    hash.add(name.size());
    hash.add(name);
  }
  const auto value = hash.value();
  return static_cast<double>((value ^ value >> 16 ^ value >> 32 ^ value >> 48) & 0xffff);
}
}  // namespace

StepStatsReduction::StepStatsReduction(const ssl::Group& group, const LocalStepStats& mine)
    : world_(group.world_size()), gram_(mine.gram) {
  const torch::NoGradGuard no_grad;
  const auto world = static_cast<double>(world_);
  const auto options = mine.loss.options();
  const auto number = [&](double value) { return torch::full({}, value, options); };
  for (const auto& [name, value] : mine.diagnostics) names_.push_back(name);
  const auto room = kMostDiagnostics - static_cast<std::int64_t>(names_.size());
  if (room < 0)
    throw Error("a step has ", names_.size(), " diagnostics, and at most ", kMostDiagnostics, " can be logged");
  const auto hash = hash_of(names_);
  // Sums over the ranks give means (divided by the world size here), counts, and for the flags the number of ranks that set them.
  std::vector<at::Tensor> values{mine.loss / world, number(mine.stop),
                                 number(mine.save), number(static_cast<double>(mine.replaced)),
                                 number(hash),      number(hash * hash)};
  for (const auto& [name, value] : mine.diagnostics) values.push_back(value.to(torch::kFloat64) / world);
  reduced_ = at::cat({torch::stack(values), torch::zeros({room}, options)});
  group.all_reduce_sum(reduced_);
}

at::Tensor StepStatsReduction::loss() const { return reduced_[kLoss]; }

void StepStatsReduction::copy_to_host_async(const at::Tensor& finite) {
  const torch::NoGradGuard no_grad;
  const auto all = at::cat({reduced_, finite.to(reduced_.options()).unsqueeze(0)});
  if (all.device().is_cpu()) {
    reduced_ = all;
    return;
  }
  // Copies to the host are asynchronous only if the destination is pinned memory.
  const auto begin_copy = [](const at::Tensor& tensor) {
    const auto host = torch::empty(tensor.sizes(), torch::TensorOptions().dtype(tensor.dtype()).pinned_memory(true));
    host.copy_(tensor, /*non_blocking=*/true);
    return host;
  };
  reduced_ = begin_copy(all);
  if (gram_.defined()) gram_ = begin_copy(gram_);
  ready_.emplace(all.device().type());
  ready_->record(c10::impl::VirtualGuardImpl(all.device().type()).getStream(all.device()));
}

StepStats StepStatsReduction::wait() const {
  if (ready_) ready_->synchronize();
  const auto value = [&](std::int64_t i) { return reduced_[i].item<double>(); };
  // The hashes h of N ranks are all equal if and only if their variance is 0: N sum(h^2) = sum(h)^2. In integers, this does not overflow
  // for up to 32,768 ranks.
  const auto sum = static_cast<std::int64_t>(value(kNames)), squares = static_cast<std::int64_t>(value(kNamesSquared));
  if (world_ * squares != sum * sum)
    throw Error("the names of the diagnostics differ between ranks in one step; those of this rank are ",
                joined(names_, ", "),
                ". Loss::diagnostics must have the same names in the same order on every rank in every step");
  StepStats stats;
  stats.loss = value(kLoss);
  stats.stop = value(kStop) > 0;
  stats.save = value(kSave) > 0;
  stats.replaced = static_cast<std::int64_t>(value(kReplaced));
  std::int64_t place = kFirstDiagnostic;
  for (const auto& name : names_) stats.diagnostics.emplace_back(name, value(place++));
  stats.finite = value(kFirstDiagnostic + kMostDiagnostics) > 0;
  if (gram_.defined()) stats.diagnostics.emplace_back("effective_rank", ssl::effective_rank(gram_));
  return stats;
}

bool NonFiniteBudget::record(std::int64_t iteration) {
  steps_.push_back(iteration);
  while (steps_.front() <= iteration - kWindow) steps_.pop_front();
  return in_window() <= budget_;
}

void NonFiniteBudget::load_state(const nlohmann::json& state) {
  steps_.clear();
  for (const auto& step : state) steps_.push_back(step.get<std::int64_t>());
}

}  // namespace unlabel::launch
