#include <unlabel/augment/error.h>
#include <unlabel/launch/distributed/data_parallel.h>
#include <unlabel/launch/distributed/process_group.h>
#include <unlabel/ssl/group.h>

#include <torch/csrc/distributed/c10d/comm.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>
#include <torch/types.h>

#include <utility>
#include <vector>

namespace unlabel::launch {

namespace {

/// After its first pass c10d::Reducer sorts its buckets anew, by the order in which gradients came. That changes the order of sums, so
/// that a run and one that was resumed would no longer agree to the last digit. This one keeps the layout that it was given.
class FixedReducer : public c10d::Reducer {
 public:
  template <class... Arguments>
  explicit FixedReducer(Arguments&&... arguments) : Reducer(std::forward<Arguments>(arguments)...) {
    has_rebuilt_bucket_ = true;
  }
};

}  // namespace

struct DataParallel::Impl {
  std::shared_ptr<const ssl::Group> group;
  std::unique_ptr<FixedReducer> reducer;
  bool synchronize = true;

  struct Watched {
    std::string name;
    at::Tensor parameter;
    unsigned hook = 0;
    bool reached = false;  ///< by the last backward pass
  };
  std::vector<std::unique_ptr<Watched>> watched;  ///< hooks point to them

  void watch(const std::string& name, const at::Tensor& parameter) {
    watched.push_back(std::make_unique<Watched>(Watched{name, parameter}));
    auto* item = watched.back().get();
    item->hook = parameter.register_hook([item](const at::Tensor&) { item->reached = true; });
  }

  void require_all_reached() {
    std::string missing;
    int count = 0;
    for (auto& item : watched)
      if (!std::exchange(item->reached, false) && count++ == 0) missing = item->name;
    if (count > 0)
      throw Error("the loss does not reach the parameter ", missing,
                  count > 1 ? concat(" and ", count - 1, " more") : "",
                  ", which got no gradient in this step; use it in each step, or freeze it (requires_grad)");
  }

  ~Impl() {
    for (auto& item : watched) item->parameter.remove_hook(item->hook);
  }
};

DataParallel::DataParallel(torch::nn::Module& module, std::shared_ptr<const ssl::Group> group,
                           const DataParallelOptions& options)
    : impl_(std::make_unique<Impl>()) {
  impl_->group = std::move(group);
  if (!options.find_unused_parameters)
    for (const auto& item : module.named_parameters())
      if (item.value().requires_grad()) impl_->watch(item.key(), item.value());
  const auto process_group = process_group_of(*impl_->group);
  if (!process_group) return;

  std::vector<at::Tensor> parameters, all;
  std::unordered_map<std::size_t, std::string> names;
  for (const auto& item : module.named_parameters()) {
    all.push_back(item.value().detach());
    if (!item.value().requires_grad()) continue;
    names[parameters.size()] = item.key();
    parameters.push_back(item.value());
  }
  for (const auto& buffer : module.buffers()) all.push_back(buffer.detach());
  if (parameters.empty()) throw Error("DataParallel: the module has no parameter that requires a gradient");

  const auto cap = static_cast<std::int64_t>(options.bucket_megabytes * 1024 * 1024);
  const std::int64_t first_cap = std::min<std::int64_t>(c10d::kDefaultFirstBucketBytes, cap);
  try {
    c10d::verify_params_across_processes(process_group, parameters, std::nullopt);
    c10d::broadcast_coalesced(process_group, all, std::size_t(250) << 20, 0);
    auto [buckets, limits] = c10d::compute_bucket_assignment_by_size(
        parameters, {static_cast<std::size_t>(first_cap), static_cast<std::size_t>(cap)},
        std::vector<bool>(parameters.size(), false));
    // Gradients are ready last layer first.
    std::reverse(buckets.begin(), buckets.end());
    impl_->reducer = std::make_unique<FixedReducer>(
        parameters, std::move(buckets), process_group, std::vector<bool>(parameters.size(), false), cap,
        options.find_unused_parameters, /*gradient_as_bucket_view=*/false, std::move(names), first_cap,
        /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false, std::vector<std::int64_t>{});
  } catch (const c10::DistError& error) {
    throw ssl::LostRankError(
        "the first exchange failed, most likely because another rank stopped; look at that rank's own message first (",
        error.what_without_backtrace(), ")");
  } catch (const c10::Error& error) {
    throw MismatchError("the ranks do not hold the same model: ", error.what_without_backtrace());
  }
}

DataParallel::~DataParallel() = default;

void DataParallel::before_forward(bool synchronize) {
  impl_->synchronize = synchronize;
  if (!impl_->reducer) return;
  impl_->reducer->prepare_for_forward();
}

void DataParallel::backward(const at::Tensor& loss) {
  if (!impl_->reducer) {
    loss.backward();
    impl_->require_all_reached();
    return;
  }
  try {
    // Not preparing for backward leaves the Reducer's hooks idle, so that gradients only add up.
    if (impl_->synchronize) impl_->reducer->prepare_for_backward({loss});
    loss.backward();
    impl_->require_all_reached();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    // What LibTorch says of tensors is no lost rank; what c10d says is.
    if (dynamic_cast<const c10::Error*>(&error) && !dynamic_cast<const c10::DistError*>(&error)) throw;
    const std::string text = error.what();
    throw ssl::LostRankError(
        "averaging gradients failed, most likely because another rank stopped; look at that rank's own message first (",
        text.substr(0, text.find('\n')), ")");
  }
}

}  // namespace unlabel::launch
