#include <unlabel/augment/error.h>
#include <unlabel/augment/exception_text.h>

#include <nlohmann/json.hpp>

#include <filesystem>
#include <new>
#include <string_view>
#include <system_error>

namespace unlabel {

namespace {

constexpr const char* kLessMemory =
    "use a smaller --micro-batch (gradients accumulate) or --batch-size when training, a smaller --features.batch-size "
    "when measuring, and fewer --threads";

/// What LibTorch says, by what it says: its headers are not for this room.
std::string library_text(std::string_view text) {
  const auto says = [&](std::string_view part) { return text.find(part) != std::string_view::npos; };
  if (says("CUDA out of memory")) return concat("out of memory on the GPU: ", kLessMemory);
  if (says("can't allocate memory") || says("not enough memory") || says("Cannot allocate memory"))
    return concat("out of memory: ", kLessMemory);
  if (says("cannot be converted to type") && says("without overflow"))
    return "a number among the options is beyond what the precision of the run can hold: give a smaller one (a "
           "learning rate of 1e308?)";
  text = text.substr(0, text.find('\n'));
  // "[enforce fail at file.cpp:127] what it is about"
  if (text.starts_with("[enforce fail at ") && says("] ")) text = text.substr(text.find("] ") + 2);
  return std::string(text);
}

}  // namespace

std::string exception_text(const std::exception& error) {
  namespace fs = std::filesystem;
  if (dynamic_cast<const Error*>(&error)) return error.what();
  if (dynamic_cast<const std::bad_alloc*>(&error)) return concat("out of memory: ", kLessMemory);
  if (const auto* file = dynamic_cast<const fs::filesystem_error*>(&error)) {
    // "filesystem error: cannot remove: Directory not empty [/runs/a/encoder.safetensors]"
    std::string_view action = file->what();
    constexpr std::string_view kBegin = "filesystem error: ";
    if (action.starts_with(kBegin)) action.remove_prefix(kBegin.size());
    action = action.substr(0, action.find(':'));
    return concat(action, " ", file->path1().string(), file->path2().empty() ? "" : " to ", file->path2().string(),
                  ": ", file->code().message());
  }
  if (const auto* system = dynamic_cast<const std::system_error*>(&error)) {
    if (system->code() == std::errc::resource_unavailable_try_again)
      return concat("no more threads or processes can be started (", system->code().message(),
                    "): use fewer --threads, or raise the limit (ulimit -u; a container's limit of processes)");
    return library_text(error.what());
  }
  if (dynamic_cast<const nlohmann::json::exception*>(&error))
    return "a JSON text does not hold what it should: is a file damaged?";
  return library_text(error.what());
}

}  // namespace unlabel
