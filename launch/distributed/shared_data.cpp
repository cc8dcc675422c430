#include <unlabel/augment/error.h>
#include <unlabel/data/formats.h>
#include <unlabel/launch/distributed/agreement.h>
#include <unlabel/launch/distributed/shared_data.h>
#include <unlabel/ssl/group.h>

#include <torch/types.h>

#include <chrono>
#include <functional>

namespace unlabel::launch {

namespace {

/// Rank 0's number, on all ranks.
std::int64_t broadcast_from_rank0(const ssl::Group& group, std::int64_t number) {
  const auto& host = group.cpu_group();
  auto tensor = torch::tensor({number}, torch::TensorOptions(torch::kInt64).device(host.device()));
  host.broadcast(tensor);
  return tensor.item<std::int64_t>();
}

/// Rank 0's text, on all ranks: first its size, then its bytes.
std::string broadcast_from_rank0(const ssl::Group& group, const std::string& text) {
  const auto& host = group.cpu_group();
  const auto size = broadcast_from_rank0(group, static_cast<std::int64_t>(text.size()));
  auto bytes = torch::zeros({size}, torch::TensorOptions(torch::kUInt8));
  if (group.rank() == 0) std::copy(text.begin(), text.end(), bytes.data_ptr<std::uint8_t>());
  bytes = bytes.to(host.device());
  if (size > 0) host.broadcast(bytes);
  bytes = bytes.cpu();
  return {reinterpret_cast<const char*>(bytes.data_ptr<std::uint8_t>()), static_cast<std::size_t>(size)};
}

}  // namespace

std::chrono::milliseconds heartbeat(int timeout_seconds) {
  return std::chrono::milliseconds(std::chrono::seconds(timeout_seconds)) / 4;
}

void run_on_rank0(const ssl::Group& group, int timeout_seconds, const std::function<void()>& action) {
  ssl::run_long_on_all_ranks(group, heartbeat(timeout_seconds), [&] {
    if (group.rank() == 0) action();
  });
}

std::string broadcast_from_rank0(const ssl::Group& group, int timeout_seconds,
                                 const std::function<std::string()>& read) {
  std::string text;
  run_on_rank0(group, timeout_seconds, [&] { text = read(); });
  return broadcast_from_rank0(group, text);
}

std::shared_ptr<const data::Dataset> open_on_all_ranks(
    const std::string& spec, const std::function<std::shared_ptr<const data::Dataset>()>& open, const ssl::Group& group,
    int timeout_seconds) {
  if (group.world_size() == 1) return open();
  std::shared_ptr<const data::Dataset> dataset;
  std::string index;
  run_on_rank0(group, timeout_seconds, [&] {
    dataset = open();
    index = dataset->file_index();
  });
  // An empty index means that the format has none (IDX, CIFAR-10): then every rank opens the data set itself.
  index = broadcast_from_rank0(group, index);
  ssl::run_long_on_all_ranks(group, heartbeat(timeout_seconds), [&] {
    if (group.rank() == 0) return;
    try {
      dataset = index.empty() ? open() : data::open_indexed(spec, index);
    } catch (const MismatchError& error) {
      throw MismatchError("the data differ from rank 0's: ", error.what(), "; give all machines the same data");
    }
  });
  require_equal_on_all_ranks(group, {{"other images",
                                      {{"images", dataset->size()}, {"fingerprint", dataset->fingerprint()}},
                                      "give all machines the same files"}});
  return dataset;
}

std::shared_ptr<const data::Dataset> open_on_all_ranks(const std::string& spec, data::Split split,
                                                       const ssl::Group& group, int timeout_seconds) {
  return open_on_all_ranks(
      spec, [&] { return data::open_dataset(spec, split); }, group, timeout_seconds);
}

int median_short_side_on_all_ranks(const data::Dataset& dataset, const ssl::Group& group, int timeout_seconds) {
  int side = 0;
  run_on_rank0(group, timeout_seconds, [&] { side = data::sample_image_sizes(dataset).median_short_side; });
  return static_cast<int>(broadcast_from_rank0(group, side));
}

}  // namespace unlabel::launch
