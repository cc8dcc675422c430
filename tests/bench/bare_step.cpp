// A bare loop for comparison with pretraining: only forward pass, loss, backward pass and optimizer of SwAV, on one batch in memory.
//
// usage: bare_step BATCH CROPS SIZE WIDTH PROTOTYPES float32|bf16 STEPS    prints images per second, without the first tenth of the steps
#include <unlabel/launch/distributed/main_setup.h>
#include <unlabel/launch/training/precision.h>
#include <unlabel/ssl/methods/swav.h>
#include <unlabel/ssl/optim/autocast.h>
#include <unlabel/ssl/optim/optimizer.h>

#include <torch/types.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

int main(int count, char** values) {
  using namespace unlabel;
  using Clock = std::chrono::steady_clock;
  if (count != 8) {
    std::fputs("usage: bare_step BATCH CROPS SIZE WIDTH PROTOTYPES float32|bf16 STEPS\n", stderr);
    return 2;
  }
  launch::quiet_libraries();
  const std::int64_t batch = std::atoll(values[1]), crops = std::atoll(values[2]), size = std::atoll(values[3]);
  const launch::Precision precision(values[6]);
  const std::int64_t steps = std::atoll(values[7]), warm_up = steps / 10;
  torch::manual_seed(0);
  ssl::SwavOptions options;
  options.prototypes = std::atoll(values[5]);
  options.hidden_dim = 8 * std::atoll(values[4]);
  ssl::Swav method(ssl::make_image_encoder({.arch = "resnet18", .width = std::atoll(values[4]), .stem = "small"}),
                   options, batch, ssl::single_process());
  ssl::to_channels_last(method);
  method.train();
  ssl::OptimizerOptions as_recipe;  // cifar10_small's
  as_recipe.kind = "sgd";
  as_recipe.weight_decay = 5e-4;
  ssl::Optimizer optimizer(method.parameter_groups(), as_recipe);
  data::Batch views;
  for (std::int64_t i = 0; i < crops; ++i)
    views.tensors.emplace_back("view." + std::to_string(i),
                               torch::randn({batch, 3, size, size}).contiguous(at::MemoryFormat::ChannelsLast));
  views.indices = torch::arange(batch);
  Clock::time_point begin;
  for (std::int64_t i = 0; i < steps; ++i) {
    if (i == warm_up) begin = Clock::now();
    const ssl::Step step{i, 0, steps, steps, 0, 1};
    method.before_step(step);
    optimizer.zero_grad();
    ssl::Loss loss;
    {
      const ssl::Autocast autocast(torch::kCPU, precision.autocast());
      loss = method.loss(views, step);
    }
    loss.value.backward();
    method.before_update(step);
    optimizer.step(0.01);
  }
  const std::chrono::duration<double> seconds = Clock::now() - begin;
  std::printf("%.1f\n", static_cast<double>((steps - warm_up) * batch) / seconds.count());
}
