#include <unlabel/augment/error.h>
#include <unlabel/ssl/optim/optimizer.h>

#include "refusal.h"
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <cmath>

namespace unlabel::ssl::optimizer_test {
namespace {

using nlohmann::json;

const json& golden() {
  static const json value = read_json_file(UNLABEL_SOURCE_DIR "/tests/golden/optimizer.json");
  return value;
}

ParameterGroup start(torch::Dtype type) {
  ParameterGroup group;
  for (const auto& [name, values] : golden()["start"].items()) {
    const auto flat = torch::tensor(values.get<std::vector<double>>(), torch::kDouble);
    const auto shape = golden()["shapes"][name].get<std::vector<std::int64_t>>();
    group.names.push_back(name);
    group.parameters.push_back(flat.view(shape).to(type).requires_grad_());
  }
  return group;
}

/// The gradients that tests/golden/optimizer.py makes up.
void set_gradients(const ParameterGroup& group, int step) {
  for (std::size_t i = 0; i < group.names.size(); ++i) {
    const auto& p = group.parameters[i];
    if (group.names[i] == "late.weight" && step < 4) continue;
    const auto position = torch::arange(p.numel(), p.options().requires_grad(false)).view(p.sizes());
    auto g = (0.3 * p + torch::sin(position + step)).detach();
    if (group.names[i] == "norm.bias" && step % 3 == 0) g.zero_();
    p.mutable_grad() = g;
  }
}

OptimizerOptions options_from(const json& values) {
  OptimizerOptions options;
  table(options).from_json(values, "golden");
  return options;
}

void run(Optimizer& optimizer, const ParameterGroup& group, int begin, int end) {
  for (int step = begin; step < end; ++step) {
    set_gradients(group, step);
    optimizer.step(golden()["rates"][step].get<double>());
  }
}

double distance(const ParameterGroup& group, const json& end) {
  double largest = 0;
  for (std::size_t i = 0; i < group.names.size(); ++i) {
    const auto expected = torch::tensor(end.at(group.names[i]).get<std::vector<double>>(), torch::kDouble);
    const auto actual = group.parameters[i].detach().flatten().to(torch::kDouble);
    largest = std::max(largest, ((actual - expected).abs() / (1 + expected.abs())).max().item<double>());
  }
  return largest;
}

TEST(Optimizer, FollowsPyTorchAndTheReleasedCodes) {
  ASSERT_EQ(golden()["cases"].size(), 12u);
  for (const auto& c : golden()["cases"]) {
    for (const auto type : {torch::kDouble, torch::kFloat}) {
      const auto group = start(type);
      const double untrained = distance(group, c["end"]);
      Optimizer optimizer({group}, options_from(c["options"]));
      run(optimizer, group, 0, golden()["steps"]);
      EXPECT_LT(distance(group, c["end"]), type == torch::kDouble ? 1e-12 : 1e-5) << c["name"];
      EXPECT_GT(untrained, 1e-2) << c["name"];
    }
  }
}

TEST(Optimizer, TakesSettingsOfGroups) {
  const auto& sgd = golden()["cases"][0];
  ASSERT_EQ(sgd["name"], "sgd");
  // LARC without adaptation is SGD, and a group's decay and rate go before the run's.
  auto options = options_from(sgd["options"]);
  options.kind = "larc";
  options.weight_decay = 0.5;
  auto group = start(torch::kDouble);
  group.adapt = false;
  group.weight_decay = sgd["options"]["weight_decay"].get<double>();
  group.lr_scale = 0.5;
  Optimizer optimizer({group}, options);
  for (int step = 0; step < golden()["steps"]; ++step) {
    set_gradients(group, step);
    optimizer.step(2 * golden()["rates"][step].get<double>());
  }
  EXPECT_LT(distance(group, sgd["end"]), 1e-12);
}

TEST(ParameterGroups, MustHoldEachLearningParameterOnce) {
  struct Net : torch::nn::Module {
    Net() {
      one = register_module("one", torch::nn::Linear(2, 3));
      two = register_module("two", torch::nn::Linear(3, 2));
      frozen = register_parameter("frozen", torch::ones({2}), /*requires_grad=*/false);
    }
    torch::nn::Linear one{nullptr}, two{nullptr};
    at::Tensor frozen;
  } net;
  const auto group_of = [](std::vector<at::Tensor> parameters, std::vector<std::string> names) {
    ParameterGroup group;
    group.parameters = std::move(parameters);
    group.names = std::move(names);
    return group;
  };
  const auto one = group_of({net.one->weight, net.one->bias}, {"one.weight", "one.bias"});
  const auto two = group_of({net.two->weight, net.two->bias}, {"two.weight", "two.bias"});
  const auto refused = [&](std::vector<ParameterGroup> groups) {
    return refusal<Error>([&] { check_parameter_groups(net, groups); });
  };
  EXPECT_EQ(refused({one, two}), "(accepted)");
  EXPECT_NE(refused({one}).find("leaves out two.weight and 1 more, which would never be trained"), std::string::npos);
  EXPECT_NE(refused({one, two, one}).find("gives one.weight, which is in another group too"), std::string::npos);
  EXPECT_NE(refused({one, two, group_of({net.frozen}, {"frozen"})}).find("gives frozen"), std::string::npos);
}

TEST(Optimizer, GoesOnFromItsStateBitForBit) {
  for (const auto& c : golden()["cases"]) {
    const auto options = options_from(c["options"]);
    const auto whole = start(torch::kFloat);
    Optimizer first({whole}, options);
    run(first, whole, 0, 6);

    auto copy = start(torch::kFloat);
    {
      const torch::NoGradGuard no_grad;
      for (std::size_t i = 0; i < copy.parameters.size(); ++i) copy.parameters[i].copy_(whole.parameters[i]);
    }
    std::vector<std::pair<std::string, at::Tensor>> saved;
    for (const auto& [name, tensor] : first.state()) saved.emplace_back(name, tensor.clone());
    run(first, whole, 6, 12);
    Optimizer second({copy}, options);
    std::vector<void*> places;
    for (const auto& [name, tensor] : second.state()) places.push_back(tensor.data_ptr());
    second.load_state(saved);
    for (std::size_t i = 0; i < places.size(); ++i) EXPECT_EQ(second.state()[i].second.data_ptr(), places[i]);
    run(second, copy, 6, 12);
    for (std::size_t i = 0; i < copy.parameters.size(); ++i)
      EXPECT_TRUE(torch::equal(copy.parameters[i], whole.parameters[i])) << c["name"] << " " << copy.names[i];
  }
}

TEST(Optimizer, NamesItsStateByParameter) {
  const auto group = start(torch::kFloat);
  OptimizerOptions options;
  const Optimizer larc({group}, options);
  EXPECT_EQ(larc.state().size(), group.names.size());
  EXPECT_EQ(larc.state()[0].first, "momentum." + group.names[0]);
  options.kind = "adamw";
  const Optimizer adamw({group}, options);
  EXPECT_EQ(adamw.state().size(), 3 * group.names.size());
  EXPECT_EQ(adamw.state()[2].first, "step." + group.names[0]);
  EXPECT_EQ(adamw.state()[2].second.scalar_type(), torch::kInt64);
}

TEST(Optimizer, RefusesAStateOfAnotherModel) {
  const auto group = start(torch::kFloat);
  Optimizer optimizer({group}, OptimizerOptions());
  std::vector<std::pair<std::string, at::Tensor>> state;
  for (const auto& [name, tensor] : optimizer.state()) state.emplace_back(name, torch::ones_like(tensor));

  auto missing = state;
  missing.pop_back();
  EXPECT_THROW(optimizer.load_state(missing), MismatchError);
  auto extra = state;
  extra.emplace_back("momentum.other", torch::ones({1}));
  EXPECT_THROW(optimizer.load_state(extra), MismatchError);
  auto reshaped = state;
  reshaped.back().second = torch::ones({1, 2, 3, 4});
  EXPECT_THROW(optimizer.load_state(reshaped), MismatchError);
  for (const auto& [name, tensor] : optimizer.state()) EXPECT_EQ(tensor.abs().sum().item<double>(), 0) << name;
  optimizer.load_state(state);
  for (const auto& [name, tensor] : optimizer.state()) EXPECT_EQ(tensor.mean().item<double>(), 1) << name;
}

TEST(Optimizer, LeavesParametersWithoutGradientAlone) {
  for (const char* kind : {"sgd", "lars", "larc", "adamw"}) {
    OptimizerOptions options;
    options.kind = kind;
    options.weight_decay = 0.1;
    const auto group = start(torch::kFloat);
    std::vector<at::Tensor> before;
    for (const auto& p : group.parameters) before.push_back(p.detach().clone());
    Optimizer optimizer({group}, options);
    optimizer.step(0.1);
    for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(torch::equal(before[i], group.parameters[i])) << kind;
  }
}

TEST(Optimizer, ZeroesGradientsInPlace) {
  const auto group = start(torch::kFloat);
  Optimizer optimizer({group}, OptimizerOptions());
  set_gradients(group, 1);
  const void* place = group.parameters[0].grad().data_ptr();
  optimizer.zero_grad();
  EXPECT_EQ(group.parameters[0].grad().data_ptr(), place);
  EXPECT_EQ(group.parameters[0].grad().abs().sum().item<double>(), 0);
  for (std::size_t i = 0; i < group.names.size(); ++i)
    EXPECT_EQ(group.parameters[i].grad().defined(), group.names[i] != "late.weight");
}

TEST(Optimizer, KeepsTheLayoutOfWeights) {
  ParameterGroup group;
  group.names = {"conv.weight"};
  group.parameters = {torch::randn({4, 3, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast).requires_grad_()};
  const Optimizer optimizer({group}, OptimizerOptions());
  EXPECT_EQ(optimizer.state()[0].second.strides(), group.parameters[0].strides());
}

TEST(Optimizer, RefusesWhatCannotBe) {
  const auto refused = [](auto change) {
    OptimizerOptions options;
    change(options);
    return refusal([&] { Optimizer({start(torch::kFloat)}, options); });
  };
  EXPECT_NE(refused([](auto& o) { o.kind = "adam"; }).find("did you mean 'adamw'"), std::string::npos);
  EXPECT_EQ(refused([](auto& o) { o.momentum = 1; }), "optimizer.momentum is 1: it must be in [0, 1)");
  EXPECT_NE(refused([](auto& o) { o.weight_decay = -1; }), "(accepted)");
  EXPECT_NE(refused([](auto& o) { o.lr = std::nan(""); }), "(accepted)");
  EXPECT_EQ(refused([](auto&) {}), "(accepted)");
  auto group = start(torch::kFloat);
  EXPECT_THROW(Optimizer({group, group}, OptimizerOptions()), Error);
  for (const double wrong : {-0.1, std::nan("")}) {
    auto backwards = start(torch::kFloat);
    backwards.lr = wrong;
    EXPECT_THROW(Optimizer({backwards}, OptimizerOptions()), UsageError) << "a group's own rate, " << wrong;
    auto scaled = start(torch::kFloat);
    scaled.lr_scale = wrong;
    EXPECT_THROW(Optimizer({scaled}, OptimizerOptions()), UsageError) << "a group's scale, " << wrong;
  }
}

}  // namespace
}  // namespace unlabel::ssl::optimizer_test
