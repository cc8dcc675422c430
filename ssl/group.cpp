#include <unlabel/augment/error.h>
#include <unlabel/ssl/group.h>

#include <torch/types.h>

#include <exception>

namespace unlabel::ssl {

void Group::all_reduce_sum(at::Tensor&) const {}
void Group::all_reduce_max(at::Tensor&) const {}
void Group::broadcast(at::Tensor&, int) const {}
at::Tensor Group::all_gather(const at::Tensor& tensor) const { return tensor; }
void Group::barrier() const {}

std::shared_ptr<const Group> Group::subgroup(int size) const {
  if (size != 0 && size != 1) throw UsageError("a group of ", size, " ranks needs as many processes; there is 1");
  return single_process();
}

std::shared_ptr<const Group> single_process() {
  static const auto group = std::make_shared<const Group>();
  return group;
}

void together(const Group& ranks, const std::function<void()>& action) {
  const Group& group = ranks.host();
  enum Outcome : char { kFine = 'f', kError = 'e', kUsage = 'u', kMismatch = 'm' };
  std::string outcome(1, kFine);
  std::exception_ptr mine;
  const auto failed = [&](Outcome kind, const char* message) {
    outcome = static_cast<char>(kind) + std::string(message);
    mine = std::current_exception();
  };
  try {
    action();
  } catch (const MismatchError& error) {
    failed(kMismatch, error.what());
  } catch (const UsageError& error) {
    failed(kUsage, error.what());
  } catch (const std::exception& error) {
    failed(kError, error.what());
  }
  if (group.world_size() == 1) {
    if (mine) std::rethrow_exception(mine);
    return;
  }
  auto any = torch::tensor({mine ? 1 : 0}, torch::TensorOptions(torch::kInt32).device(group.device()));
  group.all_reduce_max(any);
  if (any.item<int>() == 0) return;
  for (const auto& text : gather_texts(group, outcome)) {
    if (text[0] == kFine) continue;
    if (text[0] == kMismatch) throw MismatchError(text.substr(1));
    if (text[0] == kUsage) throw UsageError(text.substr(1));
    throw Error(text.substr(1));
  }
}

std::vector<std::string> gather_texts(const Group& ranks, const std::string& text) {
  const Group& group = ranks.host();
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
