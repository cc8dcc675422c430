#include <unlabel/augment/error.h>
#include <unlabel/launch/distributed/arithmetic.h>

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <cstdlib>

namespace unlabel::launch {

namespace {
std::string describe(const nlohmann::json& one) {
  const auto capability = one.value("capability", ""), kernels = one.value("kernels", "");
  return concat(one.value("threads", 0), " thread(s)", capability.empty() ? "" : " with ", capability,
                kernels.empty() ? "" : " (" + kernels + ")");
}

/// What oneDNN and MKL use to select kernels in addition to LibTorch's CPU capability: instruction sets, and their environment variables.
std::string kernels() {
  std::string text;
  const auto add = [&](const std::string& name) { text += (text.empty() ? "" : ", ") + name; };
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512vnni")) add("vnni");
  if (__builtin_cpu_supports("avx512bf16")) add("bf16");
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kAmxBf16 = 1u << 22;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kAmxBf16) != 0) add("amx");
#endif
  for (const char* name : {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE",
                           "DNNL_DEFAULT_FPMATH_MODE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"})
    if (const char* value = std::getenv(name); value && *value) add(concat(name, "=", value));
  return text;
}

/// Whether the fields that both objects have are equal. Older versions of the program recorded fewer fields.
bool alike(const nlohmann::json& one, const nlohmann::json& other) {
  return std::ranges::all_of(one.items(), [&](const auto& item) {
    return !other.contains(item.key()) || other.at(item.key()) == item.value();
  });
}
}  // namespace

nlohmann::json gather_arithmetic(const ssl::Group& group) {
  const nlohmann::json mine{
      {"threads", at::get_num_threads()}, {"capability", at::get_cpu_capability()}, {"kernels", kernels()}};
  auto all = nlohmann::json::array();
  for (const auto& text : ssl::gather_texts(group, mine.dump())) all.push_back(nlohmann::json::parse(text));
  return all;
}

std::string arithmetic_changes(const nlohmann::json& before, const nlohmann::json& now) {
  std::string text;
  for (std::size_t rank = 0; rank < std::min(before.size(), now.size()); ++rank)
    if (!alike(before[rank], now[rank]))
      text += concat(text.empty() ? "" : "; ", "rank ", rank, " used ", describe(before[rank]), " before and uses ",
                     describe(now[rank]), " now");
  return text;
}

std::string arithmetic_differences(const nlohmann::json& now) {
  for (std::size_t rank = 1; rank < now.size(); ++rank)
    if (now[rank] != now[0])
      return concat("rank ", rank, " uses ", describe(now[rank]), " and rank 0 uses ", describe(now[0]));
  return "";
}

}  // namespace unlabel::launch
