#include <unlabel/augment/error.h>
#include <unlabel/data/file_list.h>
#include <unlabel/launch/distributed/agreement.h>
#include <unlabel/launch/pretrain/run_record.h>

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace unlabel::launch {

namespace {

/// The settings that differ, except those that may change when a run resumes, as a list for a message.
std::string differences(const nlohmann::json& before, PretrainOptions now) {
  const auto fields = table(now);
  nlohmann::json saved;
  try {
    saved = fields.flatten(before, "the checkpoint");
  } catch (const UsageError& error) {
    return error.what();
  }
  std::string text;
  for (const auto& field : fields.fields()) {
    const auto new_value = field.get(), old_value = saved.value(field.name, new_value);
    if (is_runtime_option(field.name) || old_value == new_value) continue;
    text += concat(text.empty() ? "" : ", ", field.name, " was ", old_value.dump(), " and is ", new_value.dump());
  }
  return text;
}

/// 16 hexadecimal digits: some JSON readers keep only 53 bits of a number.
std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

nlohmann::json RunRecord::to_json(nlohmann::json monitor) const {
  nlohmann::json json{
      {"options", config_json(options)},
      {"views", transform.to_json()},
      {"data", {{"description", dataset.description()}, {"images", dataset.size()}, {"fingerprint", hex(fingerprint)}}},
      {"health", std::move(monitor)},
      {"arithmetic", arithmetic},
      {"world_size", world_size}};
  if (frozen_checksum != 0) json["frozen"] = hex(frozen_checksum);
  return json;
}

void RunRecord::require_same(const nlohmann::json& training, const std::string& folder,
                             const std::string& file_list) const {
  const auto& data = training.at("data");
  // Older versions computed the fingerprint from names and sizes only, without a checksum of the contents; such runs can still resume.
  const auto& saved = data.at("fingerprint");
  if (data.at("images") != dataset.size() ||
      (saved != hex(fingerprint) && saved != hex(dataset.fingerprint_of_names()))) {
    std::string changes;
    try {
      changes = data::changes_since(file_list, dataset);
    } catch (const Error&) {  // no readable list: describe the data set as a whole
      changes = concat("it was ", data.at("description").get<std::string>());
    }
    throw MismatchError("the data has changed since the checkpoint in ", folder, ": ", changes, ". It is now ",
                        dataset.description(), "; use the same data, or start a new run with another --out and --init ",
                        folder);
  }
  if (const auto text = differences(training.at("options"), options); !text.empty())
    throw MismatchError("the run in ", options.out, " has other settings: ", text,
                        "; use those, or start a new run with another --out and --init ", options.out);
  // The same options may mean different views in another version of the program.
  if (const auto views = training.value("views", nlohmann::json()), now = transform.to_json();
      !views.is_null() && views != now)
    throw MismatchError("the run in ", options.out,
                        " was started with other views, by another version of the program: ", differences(now, views),
                        "; resume it with that version, or start a new run with another --out and --init ",
                        options.out);
  if (const auto frozen = training.value("frozen", hex(0)); frozen != hex(frozen_checksum))
    throw MismatchError("the run in ", options.out,
                        " was started with other frozen weights (a teacher's); use those, or another --out");
}

std::map<std::string, std::string> encoder_metadata(const PretrainOptions& options) {
  std::map<std::string, std::string> metadata{{"method", options.method}};
  // A method that this program does not have is assumed to learn from images.
  const auto method = std::ranges::find(ssl::methods(), options.method, &ssl::MethodSpec::name);
  if (method != ssl::methods().end() && method->transform) return metadata;
  const auto views = make_views(options);
  metadata["size"] = std::to_string(views.shape(0).width);
  auto decode = options.decode;
  metadata["decode"] = augment::table(decode).to_json().dump();
  if (const auto* normalize = augment::find_normalize(views.pipeline(0))) {
    metadata["mean"] = nlohmann::json(normalize->mean).dump();
    metadata["std"] = nlohmann::json(normalize->std).dump();
  }
  return metadata;
}

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
