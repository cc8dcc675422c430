#include <unlabel/augment/error.h>
#include <unlabel/augment/exception_text.h>
#include <unlabel/ssl/group.h>

#include <torch/types.h>

#include <algorithm>
#include <exception>
#include <future>

namespace unlabel::ssl {

void Group::all_reduce_sum(at::Tensor&) const {}
void Group::all_reduce_max(at::Tensor&) const {}
void Group::broadcast(at::Tensor&, int) const {}
at::Tensor Group::all_gather(const at::Tensor& tensor) const { return tensor; }
void Group::barrier() const {}

std::shared_ptr<const Group> Group::subgroup(int size) const {
  if (size != 0 && size != 1) throw UsageError("a group of ", size, " ranks needs ", size, " processes; there is 1");
  return single_process();
}

std::shared_ptr<const Group> single_process() {
  static const auto group = std::make_shared<const Group>();
  return group;
}

void run_on_all_ranks(const Group& ranks, const std::function<void()>& action) {
  // The outcome on this rank: one letter for the kind of error, then its message.
  const Group& group = ranks.cpu_group();
  enum Outcome : char { kFine = 'f', kError = 'e', kUsage = 'u', kMismatch = 'm', kIo = 'i' };
  std::string outcome(1, kFine);
  std::exception_ptr mine;
  const auto failed = [&](Outcome kind, const std::exception& error) {
    outcome = static_cast<char>(kind) + exception_text(error);
    mine = std::current_exception();
  };
  try {
    action();
  } catch (const MismatchError& error) {
    failed(kMismatch, error);
  } catch (const UsageError& error) {
    failed(kUsage, error);
  } catch (const IoError& error) {
    failed(kIo, error);
  } catch (const std::exception& error) {
    failed(kError, error);
  }
  if (group.world_size() == 1) {
    if (mine) std::rethrow_exception(mine);
    return;
  }
  // One small all-reduce if all went well; texts are gathered only after a failure.
  if (!all_reduce_any(group, mine != nullptr)) return;
  const auto outcomes = gather_texts(group, outcome);
  const auto first = std::ranges::find_if(outcomes, [](const std::string& text) { return text[0] != kFine; });
  const auto rank = first - outcomes.begin();
  const auto message = concat(rank == 0 ? "" : concat("rank ", rank, ": "), first->substr(1));
  if (first->front() == kMismatch) throw MismatchError(message);
  if (first->front() == kUsage) throw UsageError(message);
  if (first->front() == kIo) throw IoError(message);
  throw Error(message);
}

void run_long_on_all_ranks(const Group& group, std::chrono::milliseconds keepalive,
                           const std::function<void()>& action) {
  if (group.world_size() == 1) {
    action();
    return;
  }
  auto done = std::async(std::launch::async, action);
  // Ends when the action has ended on all ranks. A rank whose action has ended waits in the collective for the others.
  while (all_reduce_any(group, done.wait_for(keepalive) != std::future_status::ready)) {
  }
  run_on_all_ranks(group, [&] { done.get(); });
}

bool all_reduce_any(const Group& ranks, bool here) {
  const Group& group = ranks.cpu_group();
  auto any = torch::tensor({here ? 1 : 0}, torch::TensorOptions(torch::kInt32).device(group.device()));
  group.all_reduce_max(any);
  return any.item<int>() > 0;
}

std::vector<std::string> gather_texts(const Group& ranks, const std::string& text) {
  // Pad the texts to the longest, since all_gather needs tensors of equal shape; their lengths are gathered first.
  const Group& group = ranks.cpu_group();
  const auto options = torch::TensorOptions(torch::kUInt8);
  const auto sizes = group.all_gather(torch::tensor({static_cast<std::int64_t>(text.size())}).to(group.device())).cpu();
  const auto longest = std::max<std::int64_t>(1, sizes.max().item<std::int64_t>());
  auto padded = torch::zeros({1, longest}, options);
  std::copy(text.begin(), text.end(), reinterpret_cast<char*>(padded.data_ptr<std::uint8_t>()));
  const auto rows = group.all_gather(padded.to(group.device())).cpu();
  std::vector<std::string> texts;
  for (std::int64_t rank = 0; rank < rows.size(0); ++rank)
    texts.emplace_back(reinterpret_cast<const char*>(rows[rank].data_ptr<std::uint8_t>()),
                       sizes[rank].item<std::int64_t>());
  return texts;
}

}  // namespace unlabel::ssl
