#include <unlabel/augment/error.h>
#include <unlabel/data/atomic_file.h>
#include <unlabel/launch/command_output.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace unlabel::launch {

std::string json_text(const nlohmann::json& json) {
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string printable(std::string text) {
  for (char& c : text)
    if (const auto byte = static_cast<unsigned char>(c); byte < 0x20 || byte == 0x7f) c = '?';
  return text;
}

void require_folder_of(const std::string& option, const std::string& path) {
  if (path.empty() || path == "-") return;
  const auto folder = std::filesystem::absolute(path).parent_path();
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored))
    throw UsageError(option, " ", path, ": there is no folder ", folder.string(), "; make it first");
}

void Warnings::add(const std::string& sentence) {
  constexpr std::size_t kMostKept = 100;
  if (std::ranges::find(sentences_, sentence) != sentences_.end()) return;
  if (printed_) std::fprintf(stderr, "warning: %s\n", printable(sentence).c_str());
  if (sentences_.size() < kMostKept)
    sentences_.push_back(sentence);
  else
    ++more_;
}

std::vector<std::string> Warnings::sentences() const {
  auto all = sentences_;
  if (more_ > 0) all.push_back(concat(more_, " more warnings, which are not listed here"));
  return all;
}

void write_result(const std::string& place, nlohmann::json result, const std::vector<std::string>& warnings) {
  if (place.empty()) return;
  result["warnings"] = warnings;
  const auto text = json_text(result);
  if (place != "-") {
    data::write_file(place, text);
    return;
  }
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

void print_line(const std::string& json_place, const std::string& line) {
  std::FILE* stream = json_place == "-" ? stderr : stdout;
  std::fprintf(stream, "%s\n", line.c_str());
  std::fflush(stream);
}

}  // namespace unlabel::launch
