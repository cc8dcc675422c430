#include <unlabel/augment/random.h>
#include <unlabel/data/collate.h>
#include <unlabel/ssl/layers/dropout.h>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

namespace unlabel::ssl {

DropoutImpl::DropoutImpl(double probability) : p(probability) {}

at::Tensor DropoutImpl::forward(const at::Tensor& x) {
  if (!is_training() || p == 0) return x;
  // Philox turns the key into the seed of a CPU generator; the constant 0xD409 keeps these numbers apart from other uses of the seed.
  const auto low = [](std::uint64_t value) { return static_cast<std::uint32_t>(value); };
  const auto block =
      augment::philox4x32({low(key.round), low(key.round >> 32), low(key.layer), 0xD409 ^ passes++ << 16},
                          {low(key.seed), low(key.seed >> 32)});
  auto generator = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{block[0]} << 32 | block[1]);
  // Draw the mask of all ranks' rows and keep this rank's, so that the mask of a row does not depend on the number of ranks.
  const auto rows = x.size(0);
  const auto mask = torch::empty({rows * key.world_size, x.size(1)}, torch::kFloat).bernoulli_(1 - p, generator);
  const auto own = mask.narrow(0, rows * key.rank, rows);
  return x * data::to_device(own, x.device()).to(x.options()).div_(1 - p);
}

std::uint64_t round_outside_of_steps(std::int64_t epoch, std::int64_t n) {
  return ~(static_cast<std::uint64_t>(epoch) << 32 | static_cast<std::uint64_t>(n));
}

void set_dropout_key(torch::nn::Module& root, DropoutKey key) {
  root.apply([&](torch::nn::Module& module) {
    if (auto* layer = module.as<DropoutImpl>()) {
      layer->key = key;
      layer->passes = 0;
      ++key.layer;
    }
  });
}

}  // namespace unlabel::ssl
