#include <unlabel/augment/error.h>
#include <unlabel/eval/protocols/knn.h>
#include <unlabel/launch/distributed/data_parallel.h>
#include <unlabel/launch/distributed/process_group.h>
#include <unlabel/ssl/group.h>

#include "launch/rank_threads.h"
#include "refusal.h"
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

namespace unlabel::launch {
namespace {

TEST(ProcessGroup, CollectivesDoWhatTheySay) {
  run_gloo_ranks(3, [](std::shared_ptr<const ssl::Group> group) {
    const int rank = group->rank();
    ASSERT_EQ(group->world_size(), 3);
    auto sum = torch::full({2}, rank + 1, torch::kFloat64);
    group->all_reduce_sum(sum);
    EXPECT_EQ(sum[1].item<double>(), 6);
    auto most = torch::full({1}, rank * 10, torch::kInt64);
    group->all_reduce_max(most);
    EXPECT_EQ(most.item<std::int64_t>(), 20);
    auto word = torch::full({2}, rank, torch::kFloat32);
    group->broadcast(word, 2);
    EXPECT_EQ(word[0].item<float>(), 2);
    const auto rows = group->all_gather(torch::full({2, 3}, rank, torch::kFloat32));
    ASSERT_EQ(rows.sizes(), (std::vector<std::int64_t>{6, 3}));
    EXPECT_TRUE(torch::equal(rows.select(1, 0), torch::tensor({0.f, 0.f, 1.f, 1.f, 2.f, 2.f})));
    group->barrier();
  });
}

TEST(ProcessGroup, SubgroupsAreConsecutiveRanks) {
  run_gloo_ranks(4, [](std::shared_ptr<const ssl::Group> group) {
    const auto pair = group->subgroup(2);
    EXPECT_EQ(pair->world_size(), 2);
    EXPECT_EQ(pair->rank(), group->rank() % 2);
    auto sum = torch::full({1}, group->rank(), torch::kFloat32);
    pair->all_reduce_sum(sum);
    EXPECT_EQ(sum.item<float>(), group->rank() < 2 ? 1 : 5);
    auto again = torch::full({1}, float(group->rank()));  // a second group of the same ranks has a store of its own
    group->subgroup(2)->all_reduce_sum(again);
    EXPECT_EQ(again.item<float>(), group->rank() < 2 ? 1 : 5);
    EXPECT_EQ(group->subgroup(1)->world_size(), 1);
    EXPECT_EQ(group->subgroup(0)->world_size(), 4);
    EXPECT_THROW(group->subgroup(3), UsageError);
  });
}

TEST(ProcessGroup, TogetherFailsEverywhereWithTheSameKind) {
  std::mutex mutex;
  std::vector<std::string> messages(3);
  run_gloo_ranks(3, [&](std::shared_ptr<const ssl::Group> group) {
    ssl::run_on_all_ranks(*group, [] {});
    try {
      ssl::run_on_all_ranks(*group, [&] {
        if (group->rank() == 1) throw MismatchError("the data changed");
      });
      ADD_FAILURE() << "nothing thrown on rank " << group->rank();
    } catch (const MismatchError& error) {
      std::lock_guard lock(mutex);
      messages[group->rank()] = error.what();
    }
    group->barrier();  // still usable
  });
  for (const auto& message : messages) EXPECT_EQ(message, "rank 1: the data changed");
}

TEST(ProcessGroup, AMeasurementThatFailsOnOneRankFailsOnAll) {
  std::atomic<int> told = 0;
  run_gloo_ranks(2, [&](std::shared_ptr<const ssl::Group> group) {
    const auto features = [](at::ScalarType type) {
      eval::Features made;
      made.values = torch::ones({4, 2}, type);
      made.labels = torch::tensor({0, 0, 1, 1}, torch::kInt64);
      made.indices = torch::arange(4, torch::kInt64);
      made.class_names = {"a", "b"};
      return made;
    };
    // What LibTorch finds wrong, as too little memory would be.
    const auto train = features(group->rank() == 1 ? torch::kFloat64 : torch::kFloat32);
    const auto test = features(torch::kFloat32);
    try {
      eval::knn(train, test, {}, *group);
    } catch (const Error& error) {
      told += std::string(error.what()).starts_with("rank 1: ");
    }
    group->barrier();  // still usable
  });
  EXPECT_EQ(told, 2);
}

TEST(ProcessGroup, GathersTextsOfAnyLength) {
  run_gloo_ranks(3, [](std::shared_ptr<const ssl::Group> group) {
    const std::vector<std::string> texts{"", "one", std::string(5000, 'x')};
    EXPECT_EQ(ssl::gather_texts(*group, texts[group->rank()]), texts);
  });
}

TEST(ProcessGroup, CountsTheRanksOfThisMachine) {
  run_gloo_ranks(3, [](std::shared_ptr<const ssl::Group> group) { EXPECT_EQ(ranks_on_these_cores(*group), 3); });
  EXPECT_EQ(ranks_on_these_cores(*ssl::single_process()), 1);
  // A launcher may bind each rank to cores of its own.
  cpu_set_t all;
  ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &all)) cpus.push_back(cpu);
  if (cpus.size() < 2) GTEST_SKIP() << "ranks bound to cores of their own: there is one core";
  run_gloo_ranks(3, [&](std::shared_ptr<const ssl::Group> group) {
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(cpus[group->rank() == 2 ? 1 : 0], &own);
    ASSERT_EQ(::sched_setaffinity(0, sizeof own, &own), 0);  // of this thread
    EXPECT_EQ(ranks_on_these_cores(*group), group->rank() == 2 ? 1 : 2);
  });
}

TEST(ProcessGroup, WaitsForAnActionThatTakesLongerThanRanksWaitForEachOther) {
  using namespace std::chrono_literals;
  const int port = free_port();
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 2; ++rank)
    ranks.emplace_back([&, rank] {
      const auto group = connect(local_environment(rank, 2, port), c10::kCPU, {"gloo", 3});
      bool done = false;
      ssl::run_long_on_all_ranks(*group, 200ms, [&] {
        if (rank == 0) std::this_thread::sleep_for(4500ms);
        done = true;
      });
      EXPECT_TRUE(done);
      EXPECT_EQ(refusal<MismatchError>([&] {
                  ssl::run_long_on_all_ranks(*group, 200ms, [&] {
                    if (rank == 0) throw MismatchError("the lead failed");
                  });
                }),
                "the lead failed");
    });
  for (auto& rank : ranks) rank.join();
}

TEST(ProcessGroup, ALostRankIsTold) {
  run_gloo_ranks(2, [](std::shared_ptr<const ssl::Group> group) {
    if (group->rank() == 1) return;  // and away
    auto word = torch::ones({1});
    EXPECT_NE(refusal<ssl::LostRankError>([&] { group->all_reduce_sum(word); }).find("another rank stopped"),
              std::string::npos);
  });
}

TEST(ProcessGroup, WaitsForAsLongAsItIsToldToFromThenOn) {
  using namespace std::literals;
  // On four ranks, of which the odd ones are late: in the world, and in groups of two that were made before.
  for (const bool pairs : {false, true}) {
    run_gloo_ranks(
        4,
        [&](std::shared_ptr<const ssl::Group> world) {
          const auto group = pairs ? world->subgroup(2) : world;
          auto word = torch::ones({1});
          const auto late = [&] { std::this_thread::sleep_for(world->rank() % 2 == 1 ? 3s : 0s); };
          set_timeout(*world, 60s);
          late();
          group->all_reduce_sum(word);
          EXPECT_EQ(word.item<float>(), pairs ? 2 : 4);
          set_timeout(*world, 1s);
          late();
          EXPECT_THROW(group->all_reduce_sum(word), ssl::LostRankError) << world->rank();
        },
        /*timeout_seconds=*/2);
  }
  set_timeout(*ssl::single_process(), 1s);  // nobody to wait for
}

TEST(ProcessGroup, ARankLostWhileGroupsAreMadeIsTold) {
  run_gloo_ranks(
      4,
      [](std::shared_ptr<const ssl::Group> group) {
        if (group->rank() % 2 == 1) return;  // the partners of ranks 0 and 2
        const auto message = refusal<ssl::LostRankError>([&] { group->subgroup(2); });
        EXPECT_NE(message.find("making a group of ranks failed"), std::string::npos) << message;
        EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      },
      /*timeout_seconds=*/1);
}

TEST(ProcessGroup, NamesTheRankThatDoesNotCome) {
  const auto message = refusal<Error>([] { connect(local_environment(0, 2, free_port()), c10::kCPU, {"gloo", 1}); });
  EXPECT_NE(message.find("rank 1 of 2 did not connect within 1 s"), std::string::npos) << message;
}

TEST(ProcessGroup, SaysInOneLineThatRankZeroIsNotThere) {
  testing::internal::CaptureStderr();
  const auto message = refusal<Error>([] { connect(local_environment(1, 2, free_port()), c10::kCPU, {"gloo", 1}); });
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << "without LibTorch's log and its frames";
  EXPECT_NE(message.find("rank 1 cannot reach rank 0 at 127.0.0.1:"), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST(ProcessGroup, SaysThatThePortIsTaken) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  ASSERT_EQ(::bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(descriptor, 1), 0);
  socklen_t size = sizeof address;
  ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
  const auto message = refusal<Error>([&] {
    connect(local_environment(0, 2, ntohs(address.sin_port)), c10::kCPU, {"gloo", 5});
  });
  EXPECT_NE(message.find("port is most likely in use"), std::string::npos) << message;
  ::close(descriptor);
}

TEST(ProcessGroup, RefusesBackendsAndDevicesThatDoNotFit) {
  EXPECT_EQ(choose_backend("auto", c10::kCPU), "gloo");
  EXPECT_THROW(choose_backend("nccl", c10::kCPU), UsageError);
  EXPECT_THROW(choose_backend("mpi", c10::kCPU), UsageError);
  EXPECT_THROW(choose_device("tpu", {}), UsageError);
  EXPECT_EQ(choose_device("cpu", {}), c10::Device(c10::kCPU));
}

/// A small network whose module is used twice in one forward pass, as multi-crop does.
struct Net : torch::nn::Module {
  Net() {
    one = register_module("one", torch::nn::Linear(6, 8));
    two = register_module("two", torch::nn::Linear(8, 4));
    frozen = register_parameter("frozen", torch::ones({3}), /*requires_grad=*/false);
    to(torch::kFloat64);
    // Ranks are threads and torch's default generator is the process's: each takes one of its own.
    auto generator = at::detail::createCPUGenerator(3);
    torch::NoGradGuard guard;
    for (auto& parameter : one->parameters()) parameter.normal_(0, 0.3, generator);
    for (auto& parameter : two->parameters()) parameter.normal_(0, 0.3, generator);
  }
  at::Tensor loss(const at::Tensor& a, const at::Tensor& b) {
    const auto forward = [&](const at::Tensor& x) { return two(torch::tanh(one(x))); };
    return (forward(a) * forward(b)).sum(1).pow(2).mean();
  }
  torch::nn::Linear one{nullptr}, two{nullptr};
  at::Tensor frozen;
};

std::vector<at::Tensor> train(std::shared_ptr<const ssl::Group> group, int micro_steps) {
  Net net;
  if (group->rank() > 0) {
    torch::NoGradGuard guard;
    net.one->weight.add_(1);  // construction must undo this
  }
  DataParallel parallel(net, group, {0.0001});
  std::vector<at::Tensor> trained;
  for (const auto& parameter : net.parameters())
    if (parameter.requires_grad()) trained.push_back(parameter);
  torch::optim::SGD optimizer(trained, torch::optim::SGDOptions(0.1).momentum(0.9));
  for (int step = 0; step < 20; ++step) {
    auto generator = at::detail::createCPUGenerator(100 + step);
    const auto a = at::randn({12, 6}, generator, torch::kFloat64), b = at::randn({12, 6}, generator, torch::kFloat64);
    const auto rows = 12 / group->world_size();
    const auto mine_a = a.narrow(0, rows * group->rank(), rows), mine_b = b.narrow(0, rows * group->rank(), rows);
    optimizer.zero_grad();
    for (int micro = 0; micro < micro_steps; ++micro) {
      const auto size = rows / micro_steps;
      parallel.before_forward(micro + 1 == micro_steps);
      parallel.backward(net.loss(mine_a.narrow(0, micro * size, size), mine_b.narrow(0, micro * size, size)) /
                        micro_steps);
    }
    optimizer.step();
  }
  std::vector<at::Tensor> weights;
  for (const auto& parameter : net.parameters()) weights.push_back(parameter.detach().clone());
  return weights;
}

TEST(DataParallel, RanksAndMicroStepsEqualOneProcess) {
  const auto expected = train(ssl::single_process(), 1);
  for (const auto& [world, micro_steps] : std::vector<std::pair<int, int>>{{1, 3}, {2, 1}, {2, 3}, {3, 2}}) {
    std::vector<std::vector<at::Tensor>> weights(world);
    if (world == 1) {
      weights[0] = train(ssl::single_process(), micro_steps);
    } else {
      run_gloo_ranks(world, [&, micro = micro_steps](std::shared_ptr<const ssl::Group> group) {
        weights[group->rank()] = train(group, micro);
      });
    }
    for (const auto& rank : weights)
      for (std::size_t i = 0; i < expected.size(); ++i)
        EXPECT_LT((rank[i] - expected[i]).abs().max().item<double>(), 1e-12) << "world " << world << ", tensor " << i;
  }
}

TEST(DataParallel, NamesAParameterThatTheLossDoesNotReach) {
  struct Forgetful : torch::nn::Module {
    Forgetful() {
      used = register_module("used", torch::nn::Linear(2, 2));
      forgotten = register_module("forgotten", torch::nn::Linear(2, 2));
    }
    torch::nn::Linear used{nullptr}, forgotten{nullptr};
  };
  const auto step = [](Forgetful& net, DataParallel& parallel, bool both) {
    parallel.before_forward();
    auto y = net.used(torch::ones({3, 2}));
    if (both) y = net.forgotten(y);
    parallel.backward(y.sum());
  };
  Forgetful net;
  DataParallel parallel(net, ssl::single_process());
  step(net, parallel, true);
  EXPECT_NE(refusal<Error>([&] {
              step(net, parallel, false);
            }).find("does not depend on the parameter forgotten.weight and 1 more"),
            std::string::npos)
      << "also when it did in the step before";
  step(net, parallel, true);
  DataParallel allowed(net, ssl::single_process(), {.find_unused_parameters = true});
  EXPECT_EQ(refusal<Error>([&] { step(net, allowed, false); }), "(accepted)");
  run_gloo_ranks(2, [&](std::shared_ptr<const ssl::Group> group) {
    Forgetful mine;
    DataParallel over_ranks(mine, group);
    EXPECT_NE(refusal<Error>([&] { step(mine, over_ranks, false); }).find("forgotten.weight"), std::string::npos);
  });
}

TEST(DataParallel, SumsInTheSameOrderWheneverItBegins) {
  // With three ranks the order of a sum shows in its last digits. The second step of one trainer is the first of another.
  run_gloo_ranks(3, [](std::shared_ptr<const ssl::Group> group) {
    Net net;
    net.to(torch::kFloat32);
    const auto gradients = [&](DataParallel& parallel, int step) {
      auto generator = at::detail::createCPUGenerator(17 * step + group->rank());
      for (auto& parameter : net.parameters()) parameter.mutable_grad().reset();
      parallel.before_forward();
      parallel.backward(net.loss(at::randn({64, 6}, generator), at::randn({64, 6}, generator)));
      std::vector<at::Tensor> all;
      for (const auto& parameter : net.parameters())
        if (parameter.grad().defined()) all.push_back(parameter.grad().clone());
      return all;
    };
    DataParallel first(net, group, {1});
    gradients(first, 0);
    std::vector<std::vector<at::Tensor>> went_on;
    for (int step = 1; step < 6; ++step) went_on.push_back(gradients(first, step));
    for (int step = 1; step < 6; ++step) {
      DataParallel resumed(net, group, {1});
      const auto now = gradients(resumed, step);
      ASSERT_EQ(now.size(), went_on[step - 1].size());
      for (std::size_t i = 0; i < now.size(); ++i)
        EXPECT_TRUE(torch::equal(now[i], went_on[step - 1][i])) << "step " << step << ", gradient " << i;
    }
  });
}

}  // namespace
}  // namespace unlabel::launch
