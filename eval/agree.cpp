#include <unlabel/augment/error.h>
#include <unlabel/eval/agree.h>
#include <unlabel/ssl/group.h>

#include <torch/torch.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace unlabel::eval {
namespace {

constexpr std::int64_t kMessageBytes = 1001;  // one for the kind of error, then the text, padded with zeros

std::string encoded(const std::exception_ptr& failure) {
  if (!failure) return "";
  try {
    std::rethrow_exception(failure);
  } catch (const UsageError& error) {
    return std::string("u") + error.what();
  } catch (const MismatchError& error) {
    return std::string("m") + error.what();
  } catch (const std::exception& error) {
    return std::string("e") + error.what();
  } catch (...) {
    return "eunknown failure";
  }
}

}  // namespace

void agree(const std::exception_ptr& failure, const ssl::Group& group, const at::Tensor& like) {
  if (group.world_size() == 1) {
    if (failure) std::rethrow_exception(failure);
    return;
  }
  const auto text = encoded(failure);
  auto mine = torch::zeros({1, kMessageBytes}, torch::kUInt8);
  std::memcpy(mine.data_ptr(), text.data(), std::min<std::size_t>(text.size(), kMessageBytes));
  const auto all = group.all_gather(mine.to(like.device())).cpu().contiguous();
  for (std::int64_t rank = 0; rank < group.world_size(); ++rank) {
    const auto* begin = reinterpret_cast<const char*>(all.data_ptr<std::uint8_t>()) + rank * kMessageBytes;
    if (*begin == 0) continue;
    const std::string message(begin + 1, std::find(begin + 1, begin + kMessageBytes, '\0'));
    if (*begin == 'u') throw UsageError(message);
    if (*begin == 'm') throw MismatchError(message);
    throw Error(message);
  }
}

}  // namespace unlabel::eval
