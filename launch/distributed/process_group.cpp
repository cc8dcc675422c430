#include <unlabel/augment/error.h>
#include <unlabel/augment/processors.h>
#include <unlabel/launch/distributed/backends.h>
#include <unlabel/launch/distributed/process_group.h>

#include <c10/util/Logging.h>
#include <c10/util/ScopeExit.h>
#include <sched.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/cuda.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <vector>

C10_DECLARE_int(caffe2_log_level);

namespace unlabel::launch {

namespace {

using Pointer = c10::intrusive_ptr<c10d::ProcessGroup>;

/// What is needed to create process groups over the same ranks.
struct RendezvousContext {
  Environment environment;
  c10::Device device = c10::kCPU;
  std::string backend;
  std::chrono::milliseconds timeout;
  c10::intrusive_ptr<c10d::Store> store;
  mutable std::vector<Pointer>
      groups{};  ///< made so far; ranks make them together, so that their number names the next one
};

/// Creates a c10d group of `size` ranks; the keys of its rendezvous in the store begin with `name`, which must be unique.
Pointer make_process_group(const RendezvousContext& joined, const std::string& name, int rank, int size) {
  auto store = c10::make_intrusive<c10d::PrefixStore>("unlabel/" + name, joined.store);
  const bool nccl = joined.backend == "nccl";
  auto backend = nccl ? nccl::make_backend(store, rank, size, joined.timeout)
                      : gloo::make_backend(store, rank, size, joined.environment.master_address, joined.timeout);
  const auto type = nccl ? c10d::ProcessGroup::BackendType::NCCL : c10d::ProcessGroup::BackendType::GLOO;
  auto group = c10::make_intrusive<c10d::ProcessGroup>(store, rank, size);
  group->setBackend(joined.device.type(), type, backend);
  group->setDefaultBackend(type);
  group->setGroupName(name);
  joined.groups.push_back(group);
  return group;
}

/// Runs a collective, and converts what c10d throws to a LostRankError of one line. `what` names the collective.
template <class Collective>
void run(const char* what, const Collective& collective) {
  try {
    collective();
  } catch (const std::exception& error) {
    const std::string text = error.what();
    throw ssl::LostRankError(
        what, " failed, most likely because another rank stopped; look at that rank's own message first (",
        text.substr(0, text.find('\n')), ")");
  }
}

class ProcessGroup : public ssl::Group {
 public:
  ProcessGroup(std::shared_ptr<const RendezvousContext> joined, Pointer pointer, int first,
               std::shared_ptr<const ssl::Group> cpu_group = nullptr)
      : joined_(std::move(joined)), pointer_(std::move(pointer)), first_(first), cpu_group_(std::move(cpu_group)) {}

  int rank() const override { return pointer_->getRank(); }
  int world_size() const override { return pointer_->getSize(); }
  at::Device device() const override { return joined_->device; }

  const ssl::Group& cpu_group() const override { return cpu_group_ ? *cpu_group_ : *this; }

  void all_reduce_sum(at::Tensor& tensor) const override { all_reduce(tensor, c10d::ReduceOp::SUM); }
  void all_reduce_max(at::Tensor& tensor) const override { all_reduce(tensor, c10d::ReduceOp::MAX); }

  void broadcast(at::Tensor& tensor, int root) const override {
    run("broadcast", [&] {
      std::vector<at::Tensor> tensors{tensor};
      c10d::BroadcastOptions options;
      options.rootRank = root;
      pointer_->broadcast(tensors, options)->wait();
    });
  }

  at::Tensor all_gather(const at::Tensor& tensor) const override {
    auto input = tensor.detach().contiguous();
    auto shape = input.sizes().vec();
    shape[0] *= world_size();
    auto output = at::empty(shape, input.options());
    run("all-gather", [&] { pointer_->_allgather_base(output, input)->wait(); });
    return output;
  }

  void barrier() const override {
    auto word = at::zeros({1}, at::TensorOptions().device(joined_->device));
    all_reduce(word, c10d::ReduceOp::SUM);
    word.item<float>();
  }

  std::shared_ptr<const ssl::Group> subgroup(int size) const override {
    if (size == 0 || size == world_size()) return std::make_shared<ProcessGroup>(joined_, pointer_, first_, cpu_group_);
    if (size < 0 || world_size() % size != 0)
      throw UsageError("groups of ", size, " ranks do not divide a world of ", world_size());
    if (size == 1) return ssl::single_process();
    const int index = rank() / size, first = first_ + index * size;
    Pointer pointer;
    run("making a group of ranks", [&] {
      pointer = make_process_group(*joined_, concat("group/", joined_->groups.size(), "/", first), rank() % size, size);
    });
    return std::make_shared<ProcessGroup>(joined_, std::move(pointer), first);
  }

  const Pointer& pointer() const { return pointer_; }

  void set_timeout(std::chrono::milliseconds timeout) const {
    for (const auto& group : joined_->groups) group->setTimeout(timeout);
    if (cpu_group_) launch::set_timeout(*cpu_group_, timeout);
  }

 private:
  void all_reduce(at::Tensor& tensor, c10d::ReduceOp::RedOpType operation) const {
    run("all-reduce", [&] {
      std::vector<at::Tensor> tensors{tensor};
      c10d::AllreduceOptions options;
      options.reduceOp = operation;
      pointer_->allreduce(tensors, options)->wait();
    });
  }

  std::shared_ptr<const RendezvousContext> joined_;
  Pointer pointer_;
  int first_;
  std::shared_ptr<const ssl::Group> cpu_group_;  ///< with NCCL: the same ranks over Gloo; null otherwise
};

c10::intrusive_ptr<c10d::Store> open_store(const Environment& environment, std::chrono::milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(environment.master_port);
  options.isServer = !environment.agent_store && environment.rank == 0;
  options.numWorkers = std::nullopt;
  options.waitWorkers = false;
  options.timeout = timeout;
  const std::string place = concat(environment.master_address, ":", environment.master_port);
  // When a connection fails, c10d logs stack frames, although the Error thrown here says the same in one line: only fatal messages are
  // logged meanwhile, unless TORCH_CPP_LOG_LEVEL is set.
  constexpr int kFatalOnly = 3;
  const auto restore = c10::make_scope_exit([before = FLAGS_caffe2_log_level] { FLAGS_caffe2_log_level = before; });
  if (!std::getenv("TORCH_CPP_LOG_LEVEL")) FLAGS_caffe2_log_level = kFatalOnly;
  try {
    return c10::make_intrusive<c10d::TCPStore>(environment.master_address, options);
  } catch (const std::exception& error) {
    if (options.isServer)
      throw Error("rank 0 cannot listen at ", place, ": the port is most likely in use; set MASTER_PORT to a free one");
    throw Error("rank ", environment.rank, " cannot reach rank 0 at ", place, " within ", timeout.count() / 1000,
                " s: check MASTER_ADDR, MASTER_PORT and that rank 0 is running");
  }
}

/// Registers this rank in the store and waits until all others have registered, so that a missing rank is named in an error instead of
/// making a collective hang.
void wait_for_all(c10d::Store& store, const Environment& environment, std::chrono::milliseconds timeout) {
  const auto key = [](int rank) { return concat("unlabel/hello/", rank); };
  // A second process with the same rank finds the counter above 0. (torchrun's store outlives the program, so there it proves nothing.)
  if (store.add(key(environment.rank), 1) != 1 && !environment.agent_store)
    throw UsageError("two processes both have RANK ", environment.rank, "; give each its own");
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (int rank = 0; rank < environment.world_size; ++rank) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    try {
      store.wait({key(rank)}, std::max(left, std::chrono::milliseconds(1)));
    } catch (const std::exception&) {
      throw Error("rank ", rank, " of ", environment.world_size, " did not connect within ", timeout.count() / 1000,
                  " s; check that it was started and can reach ", environment.master_address, ":",
                  environment.master_port);
    }
  }
}

}  // namespace

c10::Device choose_device(const std::string& wanted, const Environment& environment) {
  const int gpus = torch::cuda::is_available() ? static_cast<int>(torch::cuda::device_count()) : 0;
  if (wanted == "cpu" || (wanted == "auto" && gpus == 0)) return c10::kCPU;
  if (wanted != "auto" && wanted != "cuda" && !wanted.starts_with("cuda:"))
    throw UsageError("no device '", wanted, "'; use auto, cpu, cuda or cuda:N");
  if (gpus == 0) throw UsageError("--device ", wanted, ": this machine has no usable GPU; use --device cpu");
  // If the launcher makes one GPU visible to each rank (CUDA_VISIBLE_DEVICES), that GPU has number 0 in every rank.
  int index = gpus == 1 ? 0 : environment.local_rank.value_or(-1);
  if (wanted.starts_with("cuda:")) {
    const std::string number = wanted.substr(5);
    if (number.empty() || number.size() > 4 || number.find_first_not_of("0123456789") != std::string::npos)
      throw UsageError("no device '", wanted, "'; write cuda:0, cuda:1 ...");
    index = std::stoi(number);
  }
  if (index < 0)
    throw UsageError("it is unknown which of the ", gpus, " GPUs rank ", environment.rank,
                     " should use: set LOCAL_RANK (the rank's number on its machine, from 0), or give --device cuda:N");
  if (index >= gpus)
    throw UsageError("GPU ", index, " was requested (",
                     environment.local_rank ? concat("LOCAL_RANK ", *environment.local_rank) : "--device",
                     ") but this machine has ", gpus, "; start at most ", gpus, " processes on it");
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

std::string choose_backend(const std::string& wanted, c10::Device device) {
  const std::string fitting = device.is_cuda() ? "nccl" : "gloo";
  const std::string backend = wanted == "auto" ? fitting : wanted;
  if (backend != "gloo" && backend != "nccl") throw UsageError("no backend '", wanted, "'; use auto, gloo or nccl");
  if (backend == "nccl" && !device.is_cuda()) throw UsageError("--backend nccl needs a GPU; use gloo on the CPU");
  if (wanted != "auto" && (backend == "nccl" ? !nccl::available() : !gloo::available()))
    throw UsageError("this build does not include ", backend, "; it includes: ", built_backends());
  return backend;
}

std::string built_backends() {
  std::string names;
  if (gloo::available()) names += "gloo";
  if (nccl::available()) names += names.empty() ? "nccl" : ", nccl";
  return names.empty() ? "none" : names;
}

std::shared_ptr<const ssl::Group> connect(const Environment& environment, c10::Device device,
                                          const ConnectOptions& options) {
  if (options.timeout_seconds < 1)
    throw UsageError("--timeout must be at least 1 second, not ", options.timeout_seconds);
  const auto backend = choose_backend(options.backend, device);
  if (environment.world_size == 1) return ssl::single_process();
  const std::chrono::milliseconds timeout = std::chrono::seconds(options.timeout_seconds);
  auto store = open_store(environment, timeout);
  // torchrun keeps its store when it restarts the ranks, so each attempt uses its own key prefix.
  if (environment.agent_store)
    store = c10::make_intrusive<c10d::PrefixStore>(concat("attempt/", environment.attempt), store);
  wait_for_all(*store, environment, timeout);
  const auto make_world = [&](const char* name, c10::Device place, const std::string& transport,
                              std::shared_ptr<const ssl::Group> cpu_group) {
    const auto joined =
        std::make_shared<RendezvousContext>(RendezvousContext{environment, place, transport, timeout, store});
    Pointer pointer;
    run("rendezvous", [&] { pointer = make_process_group(*joined, name, environment.rank, environment.world_size); });
    return std::make_shared<ProcessGroup>(joined, std::move(pointer), 0, std::move(cpu_group));
  };
  // Data of the host (texts, numbers) is exchanged over Gloo, which needs no copies to the GPU.
  std::shared_ptr<const ssl::Group> cpu_group;
  if (backend == "nccl" && gloo::available()) cpu_group = make_world("host", c10::kCPU, "gloo", nullptr);
  return make_world("world", device, backend, std::move(cpu_group));
}

int ranks_on_these_cores(const ssl::Group& group) {
  std::string boot_id;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot_id);
  cpu_set_t bound;
  CPU_ZERO(&bound);
  ::sched_getaffinity(0, sizeof bound, &bound);
  std::vector<bool> mask;
  for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) mask.push_back(CPU_ISSET(cpu, &bound));
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  const auto mine = shared_cores(boot_id, mask, augment::usable_processors(), host);
  return static_cast<int>(std::ranges::count(ssl::gather_texts(group, mine), mine));
}

void set_timeout(const ssl::Group& group, std::chrono::milliseconds timeout) {
  if (const auto* joined = dynamic_cast<const ProcessGroup*>(&group)) joined->set_timeout(timeout);
}

c10::intrusive_ptr<c10d::ProcessGroup> process_group_of(const ssl::Group& group) {
  const auto* joined = dynamic_cast<const ProcessGroup*>(&group);
  return joined ? joined->pointer() : nullptr;
}

}  // namespace unlabel::launch
