// Any text is a checkpoint's manifest.json or training.json, which can be written and read again, or an Error of one short line.
#include <unlabel/augment/error.h>
#include <unlabel/launch/checkpoint/checkpoint_files.h>
#include <unlabel/launch/run/command_output.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace unlabel;
  using namespace unlabel::launch;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto tried = [](const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      const std::string_view said = error.what();
      if (said.size() > 500 || said.find("json.exception") != std::string_view::npos) std::abort();
    }
  };
  tried([&] {
    const auto files = parse_manifest(text, "fuzz");
    if (!files.is_object()) std::abort();
    if (parse_manifest(json_text({{"format", 1}, {"files", files}}), "again") != files) std::abort();
  });
  tried([&] {
    const auto training = parse_training(text, "fuzz");
    if (training.at("iteration").get<std::int64_t>() < 0) std::abort();
    if (parse_training(json_text(training), "again") != training) std::abort();
    check_resumable(training, "fuzz");
    if (!training.at("options").is_object() || training.at("data").at("fingerprint").get<std::string>().size() > size)
      std::abort();
    if (const auto health = training.value("health", nlohmann::json()); health.is_object())
      for (const char* name : {"nonfinite", "broken"})
        for (const auto& index : health.at(name)) static_cast<void>(index.get<std::int64_t>());
  });
  return 0;
}
