#include <unlabel/augment/error.h>
#include <unlabel/ssl/layers/batch_norm.h>
#include <unlabel/ssl/optim/autocast.h>
#include <unlabel/ssl/weights/weights.h>

#include "ssl/thread_group.h"
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <string>
#include <vector>

namespace unlabel::ssl {
namespace {

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

// A layer with weights that matter, the same for the same arguments.
BatchNorm make_layer(std::int64_t features, at::ScalarType type = at::kDouble) {
  BatchNorm layer(features);
  const torch::NoGradGuard no_grad;
  layer->weight.copy_(torch::linspace(0.5, 1.5, features));
  layer->bias.copy_(torch::linspace(-1, 1, features));
  layer->running_mean.fill_(0.25);
  to_float_dtype(*layer, type);
  return layer;
}

struct Pass {
  at::Tensor y, dx, dweight, dbias, running_mean, running_var;
};

// Forward and backward of sum(y * direction), in training.
Pass pass(BatchNorm layer, const at::Tensor& x, const at::Tensor& direction) {
  const auto input = x.detach().clone().requires_grad_();
  const auto y = layer(input);
  (y * direction).sum().backward();
  return {y.detach(), input.grad(), layer->weight.grad(), layer->bias.grad(), layer->running_mean, layer->running_var};
}

Pass torch_pass(const at::Tensor& x, const at::Tensor& direction) {
  auto layer = make_layer(x.size(1), x.scalar_type());
  const auto input = x.detach().clone().requires_grad_();
  const auto y = torch::batch_norm(input, layer->weight, layer->bias, layer->running_mean, layer->running_var, true,
                                   0.1, 1e-5, false);
  (y * direction).sum().backward();
  return {y.detach(), input.grad(), layer->weight.grad(), layer->bias.grad(), layer->running_mean, layer->running_var};
}

const std::vector<std::vector<std::int64_t>> kShapes{{8, 3}, {8, 3, 5, 4}, {8, 3, 1, 1}};

TEST(BatchNorm, OneRankIsTorchBatchNorm) {
  for (const auto& shape : kShapes) {
    torch::manual_seed(0);
    const auto x = torch::randn(shape, at::kDouble), direction = torch::randn(shape, at::kDouble);
    const auto ours = pass(make_layer(3), x, direction), theirs = torch_pass(x, direction);
    EXPECT_TRUE(ours.y.equal(theirs.y));
    EXPECT_TRUE(ours.dx.equal(theirs.dx));
    EXPECT_TRUE(ours.dweight.equal(theirs.dweight));
    EXPECT_TRUE(ours.running_var.equal(theirs.running_var));
  }
}

TEST(BatchNorm, AnyNumberOfRanksGivesTheSame) {
  for (const auto& shape : kShapes) {
    for (const int world : {2, 4}) {
      for (const bool channels_last : {false, true}) {
        if (channels_last && shape.size() != 4) continue;
        torch::manual_seed(0);
        const auto x = torch::randn(shape, at::kDouble) + 3, direction = torch::randn(shape, at::kDouble);
        const auto expected = torch_pass(x, direction);
        testing::run_ranks(world, [&](std::shared_ptr<const Group> group) {
          const auto rows = 8 / world, first = rows * group->rank();
          const auto part = [&](const at::Tensor& t) {
            const auto mine = t.narrow(0, first, rows);
            return channels_last ? mine.contiguous(at::MemoryFormat::ChannelsLast) : mine;
          };
          auto layer = make_layer(3);
          set_batch_norm_group(*layer, group);
          const auto got = pass(layer, part(x), part(direction));
          EXPECT_LT(difference(got.y, part(expected.y)), 1e-12);
          EXPECT_LT(difference(got.dx, part(expected.dx)), 1e-12);
          EXPECT_LT(difference(got.running_mean, expected.running_mean), 1e-13);
          EXPECT_LT(difference(got.running_var, expected.running_var), 1e-13);
          EXPECT_EQ(layer->num_batches_tracked.item<std::int64_t>(), 1);
          if (channels_last && x.size(2) > 1) {
            EXPECT_TRUE(got.y.is_contiguous(at::MemoryFormat::ChannelsLast));
          }
          auto sums = torch::stack({got.dweight, got.dbias});
          group->all_reduce_sum(sums);
          EXPECT_LT(difference(sums[0], expected.dweight), 1e-12);
          EXPECT_LT(difference(sums[1], expected.dbias), 1e-12);
        });
      }
    }
  }
}

TEST(BatchNorm, GradientIsThatOfFiniteDifferences) {
  torch::manual_seed(0);
  const auto x = torch::randn({4, 2, 2, 1}, at::kDouble), direction = torch::randn({4, 2, 2, 1}, at::kDouble);
  // The loss of all ranks together, of the whole batch and all parameters in one vector.
  const auto loss = [&](const at::Tensor& point, at::Tensor* gradient) {
    double total = 0;
    testing::run_ranks(2, [&](std::shared_ptr<const Group> group) {
      BatchNorm layer(2);
      to_float_dtype(*layer, at::kDouble);
      set_batch_norm_group(*layer, group);
      {
        const torch::NoGradGuard no_grad;
        layer->weight.copy_(point.slice(0, 16, 18));
        layer->bias.copy_(point.slice(0, 18, 20));
      }
      const int first = 2 * group->rank();
      const auto mine = point.slice(0, 0, 16).view({4, 2, 2, 1}).narrow(0, first, 2).clone().requires_grad_();
      const auto value = (layer(mine).square() * direction.narrow(0, first, 2)).sum();
      auto sum = value.detach().clone();
      group->all_reduce_sum(sum);
      if (group->rank() == 0) total = sum.item<double>();
      value.backward();
      auto parameters = torch::cat({layer->weight.grad(), layer->bias.grad()});
      group->all_reduce_sum(parameters);
      const auto inputs = group->all_gather(mine.grad());
      if (gradient && group->rank() == 0) *gradient = torch::cat({inputs.flatten(), parameters});
    });
    return total;
  };
  const auto point = torch::cat({x.flatten(), torch::tensor({0.7, 1.3, -0.2, 0.4}, at::kDouble)});
  at::Tensor gradient;
  loss(point, &gradient);
  for (std::int64_t i = 0; i < point.numel(); ++i) {
    const double h = 1e-5;
    auto above = point.clone(), below = point.clone();
    above[i] += h;
    below[i] -= h;
    const double slope = (loss(above, nullptr) - loss(below, nullptr)) / (2 * h);
    EXPECT_NEAR(gradient[i].item<double>(), slope, 1e-8) << i;
  }
}

TEST(BatchNorm, ALargeMeanCostsNoDigits) {
  torch::manual_seed(0);
  // In float32 a sum of squares would lose the variance 1 beside the square of the mean 10000 altogether.
  const auto x = torch::randn({64, 2, 4, 4}) + 1e4;
  const auto expected = torch_pass(x.to(at::kDouble), torch::ones_like(x));
  testing::run_ranks(2, [&](std::shared_ptr<const Group> group) {
    auto layer = make_layer(2, at::kFloat);
    set_batch_norm_group(*layer, group);
    const auto y = layer(x.narrow(0, 32 * group->rank(), 32));
    EXPECT_LT(difference(y, expected.y.narrow(0, 32 * group->rank(), 32)),
              3e-3);  // the spacing of floats at 1e4 is 1e-3
    EXPECT_LT(difference(layer->running_var, expected.running_var), 1e-5);
  });
}

TEST(BatchNorm, StatisticsOfBfloat16AreTakenInFloat32) {
  torch::manual_seed(0);
  const auto x = torch::randn({64, 3, 8, 8}).to(at::kBFloat16);
  const auto direction = torch::randn({64, 3, 8, 8}).to(at::kBFloat16);
  const auto expected = torch_pass(x.to(at::kDouble), direction.to(at::kDouble));
  testing::run_ranks(2, [&](std::shared_ptr<const Group> group) {
    auto layer = make_layer(3, at::kFloat);
    set_batch_norm_group(*layer, group);
    const auto part = [&](const at::Tensor& t) { return t.narrow(0, 32 * group->rank(), 32); };
    const auto got = pass(layer, part(x), part(direction));
    EXPECT_EQ(got.y.scalar_type(), at::kBFloat16);
    EXPECT_EQ(got.dx.scalar_type(), at::kBFloat16);
    EXPECT_EQ(got.dweight.scalar_type(), at::kFloat);
    EXPECT_EQ(got.running_var.scalar_type(), at::kFloat);
    EXPECT_LT(difference(got.y, part(expected.y)), 2e-2);
    EXPECT_LT(difference(got.dx, part(expected.dx)), 2e-2);
    EXPECT_LT(difference(got.running_mean, expected.running_mean), 1e-6);
    EXPECT_LT(difference(got.running_var, expected.running_var), 1e-6);
  });
}

TEST(BatchNorm, EvaluationAndGroupsOfOneMakeNoCollective) {
  struct Forbidden : Group {
    int world_size() const override { return 2; }
    void all_reduce_sum(at::Tensor&) const override { throw Error("all_reduce_sum"); }
    at::Tensor all_gather(const at::Tensor&) const override { throw Error("all_gather"); }
  };
  auto layer = make_layer(3);
  set_batch_norm_group(*layer, std::make_shared<Forbidden>());
  const auto x = torch::randn({4, 3}, at::kDouble);
  EXPECT_THROW(layer(x), Error);
  layer->eval();
  const auto y = layer(x);
  const auto expected = (x - layer->running_mean) / (layer->running_var + 1e-5).sqrt() * layer->weight + layer->bias;
  EXPECT_LT(difference(y, expected), 1e-12);
}

TEST(BatchNorm, StateIsNamedAsInPytorch) {
  const auto state = state_of(*BatchNorm(2));
  std::string names;
  for (const auto& item : state) names += item.first + " ";
  EXPECT_EQ(names, "weight bias running_mean running_var num_batches_tracked ");
  EXPECT_EQ(state.back().second.scalar_type(), at::kLong);
}

TEST(BatchNorm, GroupReachesEveryLayerAndClone) {
  testing::run_ranks(2, [](std::shared_ptr<const Group> group) {
    torch::nn::Sequential net(BatchNorm(3), torch::nn::ReLU(), BatchNorm(3));
    set_batch_norm_group(*net, group);
    const auto copy = net->clone();
    int layers = 0;
    for (const auto& module : copy->modules()) {
      if (const auto* layer = module->as<BatchNormImpl>()) {
        ++layers;
        EXPECT_EQ(layer->group, group);
      }
    }
    EXPECT_EQ(layers, 2);
  });
}

TEST(BatchNorm, RunningStatisticsOfSmallerGroupsAreMadeEqualByTheirMean) {
  // Two steps of two forward passes each, on four ranks in pairs: as an update by the mean of both pairs' statistics.
  const double momentum = BatchNormOptions{}.momentum;
  const auto batch = [](int pair, int pass) {
    return torch::linspace(-1 - pair, 2 + pass, 24, torch::kDouble).view({8, 3}).square() * (1 + 2 * pair);
  };
  auto mean = torch::full({3}, 0.25, torch::kDouble), variance = torch::ones({3}, torch::kDouble);
  for (int pass = 0; pass < 4; ++pass) {
    at::Tensor batch_mean = torch::zeros({3}, torch::kDouble), batch_variance = torch::zeros({3}, torch::kDouble);
    for (const int pair : {0, 1}) {
      batch_mean += batch(pair, pass).mean(0) / 2;
      batch_variance += batch(pair, pass).var(0, /*unbiased=*/true) / 2;
    }
    mean = mean * (1 - momentum) + batch_mean * momentum;
    variance = variance * (1 - momentum) + batch_variance * momentum;
  }
  testing::run_ranks(4, [&](std::shared_ptr<const Group> group) {
    const int pair = group->rank() / 2;
    torch::nn::Sequential net(make_layer(3), make_layer(3));
    auto* first = net[0]->as<BatchNormImpl>();
    auto* whole = net[1]->as<BatchNormImpl>();
    first->group = group->subgroup(2);
    whole->group = group;
    for (int step = 0; step < 2; ++step) {
      for (int pass = 2 * step; pass < 2 * step + 2; ++pass)
        first->forward(batch(pair, pass).narrow(0, group->rank() % 2 * 4, 4).contiguous());
      EXPECT_EQ(difference(whole->running_mean, torch::full({3}, 0.25)), 0);
      average_running_statistics(*net, *group);
    }
    EXPECT_LT(difference(first->running_mean, mean), 1e-12);
    EXPECT_LT(difference(first->running_var, variance), 1e-12);
    EXPECT_EQ(difference(whole->running_mean, torch::full({3}, 0.25)), 0)
        << "of the whole world they are equal already";
    const auto all = group->all_gather(first->running_var.unsqueeze(0));
    EXPECT_EQ(difference(all, all[0].expand_as(all)), 0) << "bit for bit on all ranks";
  });
}

TEST(BatchNorm, WrongUseThrows) {
  EXPECT_THROW(BatchNorm(3)(torch::zeros({4, 2})), Error);
  EXPECT_THROW(BatchNorm(3)(torch::zeros({3})), Error);
  EXPECT_THROW(BatchNorm(3)(torch::zeros({1, 3})), UsageError);
  // One row on each of two ranks is enough.
  testing::run_ranks(2, [](std::shared_ptr<const Group> group) {
    BatchNorm layer(3);
    set_batch_norm_group(*layer, group);
    const auto y = layer(torch::full({1, 3}, float(group->rank())));
    EXPECT_LT(difference(y, torch::full({1, 3}, 2. * group->rank() - 1)), 1e-4);
  });
}

TEST(BatchNorm, SecondDerivativesOverRanksThrow) {
  EXPECT_THROW(testing::run_ranks(2,
                                  [](std::shared_ptr<const Group> group) {
                                    BatchNorm layer(2);
                                    set_batch_norm_group(*layer, group);
                                    const auto x = torch::randn({4, 2}).requires_grad_();
                                    torch::autograd::grad({layer(x).square().sum()}, {x}, {}, std::nullopt, true);
                                  }),
               Error);
}

}  // namespace
}  // namespace unlabel::ssl
