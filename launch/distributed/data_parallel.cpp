#include <unlabel/augment/error.h>
#include <unlabel/launch/distributed/data_parallel.h>
#include <unlabel/launch/distributed/process_group.h>

#include <torch/csrc/distributed/c10d/comm.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>
#include <torch/types.h>

#include <utility>
#include <vector>

namespace unlabel::launch {

namespace {

/// After its first backward pass c10d::Reducer rebuilds its buckets in the order in which gradients became ready. That changes the order of
/// summation, so that a resumed run would no longer be bit-equal to an uninterrupted one. This subclass keeps the initial buckets.
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
    bool reached = false;  ///< got a gradient since the last check
  };
  std::vector<std::unique_ptr<Watched>> watched;  ///< by pointer, because the hooks refer to them

  /// Registers a hook that records when the parameter gets a gradient.
  void watch(const std::string& name, const at::Tensor& parameter) {
    watched.push_back(std::make_unique<Watched>(Watched{name, parameter}));
    auto* item = watched.back().get();
    item->hook = parameter.register_hook([item](const at::Tensor&) { item->reached = true; });
  }

  /// Throws Error when a watched parameter got no gradient since the last call.
  void require_all_reached() {
    std::string missing;
    int count = 0;
    for (auto& item : watched)
      if (!std::exchange(item->reached, false) && count++ == 0) missing = item->name;
    if (count > 0)
      throw Error("the loss does not depend on the parameter ", missing,
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

  // The Reducer gets the trainable parameters; the broadcast from rank 0 includes frozen ones and buffers.
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
    // The gradients of the last layers are ready first.
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
    throw MismatchError("the ranks do not have the same model: ", error.what_without_backtrace());
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
    // Without prepare_for_backward() the Reducer's hooks do nothing, so that gradients accumulate on this rank.
    if (impl_->synchronize) impl_->reducer->prepare_for_backward({loss});
    loss.backward();
    impl_->require_all_reached();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    // A c10::Error that is not a DistError comes from tensor operations; everything else comes from communication.
    if (dynamic_cast<const c10::Error*>(&error) && !dynamic_cast<const c10::DistError*>(&error)) throw;
    const std::string text = error.what();
    throw ssl::LostRankError(
        "averaging gradients failed, most likely because another rank stopped; look at that rank's own message first (",
        text.substr(0, text.find('\n')), ")");
  }
}

}  // namespace unlabel::launch
