// An agent with a loop of its own: Q-learning with a replay buffer and a target network in a walk of eleven places. Optimizer, step guard,
// checkpoints and data-parallel training are the library's.
//
// usage: agent OUT STEPS [KILL_AFTER]      goes on from the newest checkpoint in OUT/checkpoints; writes OUT/agent.safetensors
//                                          KILL_AFTER: kills itself, without a word, after so many steps of this start

#include <unlabel/augment/random.h>
#include <unlabel/launch/checkpoint/checkpoint.h>
#include <unlabel/launch/checkpoint/checkpoint_files.h>
#include <unlabel/launch/checkpoint/checkpoint_writer.h>
#include <unlabel/launch/distributed/data_parallel.h>
#include <unlabel/launch/distributed/environment.h>
#include <unlabel/launch/distributed/main_setup.h>
#include <unlabel/launch/training/step_guard.h>
#include <unlabel/launch/training/step_stats.h>
#include <unlabel/launch/training/training_state.h>
#include <unlabel/ssl/layers/ema.h>
#include <unlabel/ssl/weights/safetensors.h>

#include <torch/nn.h>
#include <torch/types.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

using namespace unlabel;

namespace {

constexpr std::int64_t kPlaces = 11, kCapacity = 64, kBatch = 16, kEvery = 5;

/// Rows of the replay buffer: place, action, reward, next place.
constexpr std::int64_t kColumns = 4;

struct Agent : ssl::Trainable {
  Agent(std::uint64_t seed, std::shared_ptr<const ssl::Group> ranks) : group(std::move(ranks)) {
    torch::manual_seed(seed);
    q = register_module("q", torch::nn::Linear(kPlaces, 2));
    target = register_module("target", torch::nn::Linear(kPlaces, 2));
    ssl::freeze(*target);
    ssl::update_ema(*target, *q, 0);
    place = register_buffer("places", torch::full({group->world_size()}, kPlaces / 2, torch::kInt64));
    filled = register_buffer("filled", torch::zeros({}, torch::kInt64));
    replay = torch::zeros({kCapacity, kColumns}, torch::kInt64);  // this rank's
  }

  static at::Tensor one_hot(const at::Tensor& places) { return torch::one_hot(places, kPlaces).to(torch::kFloat); }

  /// One action of this rank's environment. Walking off the right end pays 1, off the left end nothing; both begin anew.
  void act(std::int64_t step) {
    const torch::NoGradGuard no_grad;
    const auto rank = group->rank();
    augment::Random random({7, 0, static_cast<std::uint64_t>(step), static_cast<std::uint32_t>(rank)});
    const auto here = place[rank].item<std::int64_t>();
    const auto greedy = q(one_hot(place[rank].reshape({1}))).argmax(1).item<std::int64_t>();
    const auto action = random.bernoulli(0.3) ? static_cast<std::int64_t>(random.below(2)) : greedy;
    auto next = here + (action == 1 ? 1 : -1);
    const std::int64_t reward = next == kPlaces ? 1 : 0;
    if (next < 0 || next == kPlaces) next = kPlaces / 2;
    replay[step % kCapacity].copy_(torch::tensor({here, action, reward, next}));
    // Buffers are the same on every rank.
    place.copy_(group->all_gather(torch::tensor({next})));
    filled.fill_(std::min(step + 1, kCapacity));
  }

  at::Tensor loss(std::int64_t step) {
    augment::Random random({8, 0, static_cast<std::uint64_t>(step), static_cast<std::uint32_t>(group->rank())});
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < kBatch; ++i)
      rows.push_back(random.below(static_cast<std::uint32_t>(filled.item<std::int64_t>())));
    const auto batch = replay.index_select(0, torch::tensor(rows)).unbind(1);
    at::Tensor wanted;
    {
      const torch::NoGradGuard no_grad;
      wanted = batch[2] + 0.9 * target(one_hot(batch[3])).amax(1);
    }
    const auto value = q(one_hot(batch[0])).gather(1, batch[1].unsqueeze(1)).squeeze(1);
    return torch::mse_loss(value, wanted);
  }

  void after_step(const ssl::Step&) override { ssl::update_ema(*target, *q, 0.9); }

  std::vector<std::pair<std::string, at::Tensor>> per_sample_state() override {
    return {{"replay", group->all_gather(replay)}};
  }
  std::int64_t per_sample_state_bytes() const override {
    return static_cast<std::int64_t>(replay.nbytes()) * group->world_size();
  }
  void load_per_sample_state(const std::vector<std::pair<std::string, at::Tensor>>& state) override {
    if (state.size() != 1 || state[0].second.size(0) != kCapacity * group->world_size())
      throw MismatchError("the replay buffer is of another number of ranks");
    replay.copy_(state[0].second.narrow(0, kCapacity * group->rank(), kCapacity));
  }

  std::shared_ptr<const ssl::Group> group;
  torch::nn::Linear q{nullptr}, target{nullptr};
  at::Tensor place, filled, replay;
};

int run(const std::string& out, std::int64_t steps, std::int64_t kill_after) {
  const auto environment = launch::read_environment();
  const auto group = launch::rendezvous(environment, c10::kCPU, {"auto", 60}, "agent");
  const auto agent = std::make_shared<Agent>(3, group);
  ssl::OptimizerOptions options;
  options.kind = "adamw";
  options.weight_decay = 0;
  ssl::Optimizer optimizer(agent->parameter_groups(), options);
  launch::LossScaler scaler(/*enabled=*/false, c10::kCPU);
  launch::StepGuard guard(*agent, optimizer, /*deferred=*/false);
  launch::TrainingState state{*agent, optimizer, scaler};

  const auto folder = out + "/checkpoints";
  std::int64_t iteration = 0;
  ssl::run_on_all_ranks(*group, [&] {
    if (!launch::newest_checkpoint(folder)) return;
    const auto checkpoint = launch::read_checkpoint(folder, nullptr, /*check=*/{});
    state.load(checkpoint, folder);
    iteration = checkpoint.iteration;
  });
  if (iteration > 0 && group->rank() == 0) std::printf("resuming from step %lld\n", static_cast<long long>(iteration));
  launch::DataParallel parallel(*agent, group);
  std::unique_ptr<launch::CheckpointWriter> writer;
  if (group->rank() == 0) writer = std::make_unique<launch::CheckpointWriter>(folder, launch::Retention{2, 0});

  for (std::int64_t made = 0; iteration < steps; ++made) {
    if (made == kill_after) ::raise(SIGKILL);
    const ssl::Step step{.iteration = iteration, .total_iterations = steps};
    guard.before_forward();
    agent->act(iteration);
    optimizer.zero_grad();
    parallel.before_forward();
    const auto loss = agent->loss(iteration);
    parallel.backward(scaler.scale(loss));
    launch::LocalStepStats mine;
    mine.loss = loss.detach().to(torch::kFloat64);
    launch::StepStatsReduction stats(*group, mine);
    const auto finite = scaler.unscale(agent->parameters()).logical_and(stats.loss().isfinite());
    stats.copy_to_host_async(finite);
    guard.update(finite, [&] {
      agent->before_update(step);
      optimizer.step(0.01);
      agent->after_step(step);
    });
    if (!stats.wait().finite) throw Error("the loss is not finite at step ", iteration);
    ++iteration;
    if (iteration % kEvery != 0 && iteration != steps) continue;
    const auto replay = agent->per_sample_state();
    if (writer)
      writer->start([&](launch::CheckpointFiles& files) { launch::pack(state.snapshot(iteration, replay), files); });
  }
  if (!writer) return 0;
  writer->wait();
  if (const auto failure = writer->failure(); !failure.empty()) throw Error(failure);
  ssl::write_safetensors(out + "/agent.safetensors", {ssl::state_of(*agent), {}});
  return 0;
}

}  // namespace

int main(int count, char** values) {
  try {
    return run(values[1], std::atoll(values[2]), count > 3 ? std::atoll(values[3]) : -1);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "agent: %s\n", error.what());
    return 1;
  }
}
