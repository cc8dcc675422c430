#include <unlabel/augment/error.h>
#include <unlabel/launch/shared_data.h>

#include <torch/types.h>

#include <chrono>
#include <future>

namespace unlabel::launch {

namespace {

/// Runs what may take long on rank 0 while the other ranks hear in between that it goes on.
void run_on_first_rank(const ssl::Group& group, int timeout_seconds, const std::function<void()>& action) {
  std::future<void> done;
  if (group.rank() == 0) done = std::async(std::launch::async, action);
  const auto& host = group.host();
  const std::chrono::milliseconds pause(timeout_seconds * 250);
  for (bool busy = true; busy;) {
    bool goes_on = false;
    ssl::together(group, [&] {
      if (group.rank() != 0) return;
      goes_on = done.wait_for(pause) != std::future_status::ready;
      if (!goes_on) done.get();
    });
    auto flag = torch::tensor({goes_on ? 1 : 0}, torch::TensorOptions(torch::kInt32).device(host.device()));
    host.broadcast(flag);
    busy = flag.item<int>() != 0;
  }
}

std::int64_t of_first_rank(const ssl::Group& group, std::int64_t number) {
  const auto& host = group.host();
  auto tensor = torch::tensor({number}, torch::TensorOptions(torch::kInt64).device(host.device()));
  host.broadcast(tensor);
  return tensor.item<std::int64_t>();
}

std::string of_first_rank(const ssl::Group& group, const std::string& text) {
  const auto& host = group.host();
  const auto size = of_first_rank(group, static_cast<std::int64_t>(text.size()));
  auto bytes = torch::zeros({size}, torch::TensorOptions(torch::kUInt8));
  if (group.rank() == 0) std::copy(text.begin(), text.end(), bytes.data_ptr<std::uint8_t>());
  bytes = bytes.to(host.device());
  if (size > 0) host.broadcast(bytes);
  bytes = bytes.cpu();
  return {reinterpret_cast<const char*>(bytes.data_ptr<std::uint8_t>()), static_cast<std::size_t>(size)};
}

}  // namespace

std::shared_ptr<const data::Dataset> open_on_all_ranks(const std::string& spec, data::Split split,
                                                       const ssl::Group& group, int timeout_seconds) {
  std::shared_ptr<const data::Dataset> dataset;
  if (group.world_size() == 1) return data::open_dataset(spec, split);
  std::string index;
  run_on_first_rank(group, timeout_seconds, [&] {
    dataset = data::open_dataset(spec, split);
    index = dataset->index();
  });
  index = of_first_rank(group, index);
  ssl::together(group, [&] {
    if (group.rank() == 0) return;
    try {
      dataset = data::open_indexed(spec, split, index);
    } catch (const MismatchError& error) {
      throw MismatchError("rank ", group.rank(), " has other data than rank 0: ", error.what(),
                          "; give all machines the same");
    }
  });
  return dataset;
}

OpenedData open_data_on_all_ranks(const PretrainOptions& options, const ssl::Group& group) {
  OpenedData opened;
  opened.dataset = open_on_all_ranks(options.data, data::Split::kTrain, group, options.timeout);
  run_on_first_rank(group, options.timeout,
                    [&] { opened.median_short_side = data::survey_sizes(*opened.dataset).median_short_side; });
  opened.median_short_side = static_cast<int>(of_first_rank(group, opened.median_short_side));
  return opened;
}

}  // namespace unlabel::launch
