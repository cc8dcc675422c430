#include <unlabel/augment/error.h>
#include <unlabel/launch/training/precision.h>
#include <unlabel/ssl/group.h>
#include <unlabel/ssl/optim/autocast.h>

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>
#include <nlohmann/json.hpp>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

namespace unlabel::launch {

namespace {

/// The first CPU flag in /proc/cpuinfo that is one of `wanted`; empty when there is none. Lines: "flags : fpu ..." on x86, "Features : fp
/// asimd ..." on Arm.
std::string flag_of(const std::string& cpuinfo, const std::vector<std::string>& wanted) {
  std::istringstream lines(cpuinfo);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
    std::istringstream words(line.substr(std::min(line.find(':'), line.size() - 1) + 1));
    for (std::string word; words >> word;)
      if (std::ranges::find(wanted, word) != wanted.end()) return word;
    return "";  // the first processor's flags are enough: all of a machine have the same
  }
  return "";
}

/// The result of torch.ops.mkldnn._is_mkldnn_bf16_supported(); false when this LibTorch has no such operator, or no oneDNN.
bool library_checks_bf16() {
  const auto check = c10::Dispatcher::singleton().findSchema({"mkldnn::_is_mkldnn_bf16_supported", ""});
  return check && check->typed<bool()>().call();
}

/// Time of a convolution's forward and backward pass in seconds: the minimum of three runs.
double time_convolution(at::ScalarType type, c10::Device device) {
  const auto options = at::TensorOptions(device).dtype(type);
  const auto make = [&](at::IntArrayRef shape) {  // constants: random numbers would advance the global generator
    return at::full(shape, 0.01, options).contiguous(at::MemoryFormat::ChannelsLast).requires_grad_();
  };
  const auto images = make({8, 64, 16, 16}), weight = make({64, 64, 3, 3});
  double fastest = INFINITY;
  for (int run = 0; run < 4; ++run) {  // run 0 is a warm-up, which compiles kernels
    const auto start = std::chrono::steady_clock::now();
    at::conv2d(images, weight, {}, /*stride=*/1, /*padding=*/1).sum().backward();
    weight.grad().sum().item<double>();  // waits until a GPU has finished
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (run > 0) fastest = std::min(fastest, seconds);
  }
  return fastest;
}

}  // namespace

DeviceFacts device_facts(c10::Device device) {
  DeviceFacts facts;
  facts.gpu = device.is_cuda();
  if (facts.gpu) {
    const c10::DeviceGuard guard(device);
    facts.gpu_bf16 = at::detail::getCUDAHooks().supportsBFloat16ConvolutionWithCuDNNv8();
    return facts;
  }
  std::ifstream file("/proc/cpuinfo");
  facts.cpuinfo.assign(std::istreambuf_iterator<char>(file), {});
  facts.library_bf16 = library_checks_bf16();
  for (const char* name : {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"})
    if (const char* limit = std::getenv(name); limit && facts.isa_limit.empty()) facts.isa_limit = limit;
  return facts;
}

PrecisionChoice native_precision(const DeviceFacts& facts) {
  if (facts.gpu)
    return facts.gpu_bf16
               ? PrecisionChoice{"bf16", "this GPU has native bf16 arithmetic"}
               : PrecisionChoice{"float32", "this GPU has no bf16 arithmetic (its compute capability is below 8)"};
  // The flags of x86 with AVX512_BF16, of x86 with AMX, and of Arm.
  const auto flag = flag_of(facts.cpuinfo, {"avx512_bf16", "amx_bf16", "bf16"});
  if (flag.empty()) return {"float32", "this processor has no instructions for bf16 (AVX512_BF16, AMX or Arm's bf16)"};
  // oneDNN ignores these instructions when ONEDNN_MAX_CPU_ISA names an older instruction set.
  auto limit = facts.isa_limit;
  std::ranges::transform(limit, limit.begin(), [](unsigned char c) { return std::tolower(c); });
  const bool limited = limit.starts_with("sse") || limit.starts_with("avx2") || limit == "avx" ||
                       limit == "avx512_core" || limit == "avx512_core_vnni";
  if (limited)
    return {"float32", concat("ONEDNN_MAX_CPU_ISA is ", facts.isa_limit, ", which excludes instructions for bf16")};
  if (!facts.library_bf16) return {"float32", "LibTorch has no bf16 arithmetic for this processor"};
  return {"bf16", concat("this processor has native bf16 arithmetic (", flag, ")")};
}

void require_precision(const std::string& name) {
  if (name == "auto") return;
  try {
    Precision{name};
  } catch (const UsageError& error) {
    throw UsageError(error.what(), ", and auto (bf16 where it is native, else float32)");
  }
}

PrecisionChoice agreed_precision(const std::vector<PrecisionVote>& by_rank) {
  const auto with_rank = [&](std::size_t rank, const std::string& reason) {
    return by_rank.size() == 1 ? reason : concat("on rank ", rank, ", ", reason);
  };
  for (std::size_t rank = 0; rank < by_rank.size(); ++rank)
    if (!by_rank[rank].open) return {by_rank[rank].choice.precision, with_rank(rank, "it was set explicitly")};
  const auto without = std::ranges::find(by_rank, "float32", [](const auto& vote) { return vote.choice.precision; });
  if (without == by_rank.end()) return by_rank.front().choice;
  return {"float32", with_rank(without - by_rank.begin(), without->choice.reason)};
}

std::string resolve_precision(const ssl::Group& group, c10::Device device, std::string& precision) {
  // Ranks with an explicit precision take part, too: the gathering is collective, and the others adopt their choice.
  const bool open = precision == "auto";
  const auto own = open ? native_precision(device_facts(device)) : PrecisionChoice{precision, ""};
  std::vector<PrecisionVote> by_rank;
  for (const auto& text : ssl::gather_texts(
           group, nlohmann::json{{"open", open}, {"precision", own.precision}, {"reason", own.reason}}.dump())) {
    const auto vote = nlohmann::json::parse(text);
    by_rank.push_back({vote.at("open"), {vote.at("precision"), vote.at("reason")}});
  }
  if (!open) return "";
  const auto agreed = agreed_precision(by_rank);
  precision = agreed.precision;
  return concat("precision ", agreed.precision, ": ", agreed.reason);
}

double slowdown_of(const std::string& precision, c10::Device device) {
  const auto type = ssl::autocast_type(precision).value_or(at::kFloat);
  const double plain = time_convolution(at::kFloat, device);
  return time_convolution(type, device) / plain;
}

std::string slow_precision_warning(const std::string& precision, c10::Device device) {
  if (precision != "bf16" && precision != "fp16") return "";
  if (precision == "fp16" && device.is_cuda()) return "";
  const auto native = native_precision(device_facts(device));
  if (precision == native.precision) return "";
  const double factor = slowdown_of(precision, device);
  if (factor < 1.1) return "";
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", factor);
  return concat("a convolution in ", precision, " takes ", text, " times as long on this device as in float32",
                native.precision == "float32" ? concat(": ", native.reason) : "", "; --precision auto selects ",
                native.precision);
}

Precision::Precision(const std::string& name) {
  if (name == "float64")
    weights_ = at::kDouble;
  else
    autocast_ = ssl::autocast_type(name);
}

LossScaler::LossScaler(bool enabled, c10::Device device) : enabled_(enabled) {
  if (!enabled_) return;
  // The initial scale and the constants of unscale() are those of torch.cuda.amp.GradScaler.
  scale_ = torch::full({1}, 65536.f, device);
  growth_tracker_ = torch::zeros({1}, torch::TensorOptions(torch::kInt32).device(device));
}

at::Tensor LossScaler::scale(const at::Tensor& loss) const {
  return enabled_ ? loss * scale_.squeeze(0).to(loss.scalar_type()) : loss;
}

at::Tensor LossScaler::unscale(const std::vector<at::Tensor>& parameters) {
  torch::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const auto& parameter : parameters)
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  if (gradients.empty()) return torch::ones({}, torch::kBool);
  if (!enabled_) return at::stack(at::_foreach_norm(gradients, INFINITY)).isfinite().all();
  // The same operators as in GradScaler; scale and growth tracker stay on the device.
  auto found_overflow = torch::zeros({1}, scale_.options());
  const auto inverse = scale_.to(torch::kDouble).reciprocal().to(torch::kFloat);
  at::_amp_foreach_non_finite_check_and_unscale_(gradients, found_overflow, inverse);
  constexpr double kGrowth = 2, kBackoff = 0.5;
  constexpr std::int64_t kInterval = 2000;
  at::_amp_update_scale_(scale_, growth_tracker_, found_overflow, kGrowth, kBackoff, kInterval);
  return found_overflow.eq(0).squeeze(0);
}

std::vector<std::pair<std::string, at::Tensor>> LossScaler::state() const {
  if (!enabled_) return {};
  return {{"scale", scale_}, {"growth_tracker", growth_tracker_}};
}

void LossScaler::load_state(const std::vector<std::pair<std::string, at::Tensor>>& state) {
  if (!enabled_) return;
  for (const auto& [name, tensor] : state) {
    if (name == "scale") scale_.copy_(tensor);
    if (name == "growth_tracker") growth_tracker_.copy_(tensor);
  }
}

}  // namespace unlabel::launch
