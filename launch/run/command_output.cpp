#include <unlabel/augment/error.h>
#include <unlabel/augment/system_error.h>
#include <unlabel/data/formats.h>
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/data/io/files.h>
#include <unlabel/launch/run/command_output.h>
#include <unlabel/launch/run/run_folder.h>

#include <stdio_ext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
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

namespace {

/// Whether two paths name the same file, which need not exist yet.
bool are_same_file(const std::string& a, const std::string& b) {
  std::error_code error;
  if (std::filesystem::equivalent(a, b, error)) return true;
  const auto place = std::filesystem::weakly_canonical(a, error);
  return !error && place == std::filesystem::weakly_canonical(b, error) && !error;
}

/// Whether `path` is an existing file in or below `folder` that must not be replaced. Results of earlier commands may be replaced.
bool is_read_from(const std::string& path, const std::string& folder) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error) || !data::exists(path)) return false;
  constexpr std::array kResults{".json", ".jsonl", ".npy", ".safetensors"};
  if (std::ranges::find(kResults, std::filesystem::path(path).extension()) != kResults.end()) return false;
  const auto place = std::filesystem::canonical(path, error);
  const auto below = place.lexically_relative(std::filesystem::canonical(folder, error));
  return !error && !below.empty() && *below.begin() != "..";
}

/// errno of the first failed write to stdout, 0 before: later writes may succeed, or fail for another reason.
int stdout_error = 0;

void put(const std::string& text) {
  const bool done = std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  if (!done && stdout_error == 0) stdout_error = errno;
}

}  // namespace

NamedFile data_folder(const std::string& option, const std::string& spec) {
  return {option, spec.empty() ? "" : data::parse_location(spec).directory};
}

void require_output(const std::string& option, const std::string& path, const std::vector<NamedFile>& others,
                    const std::string& run) {
  if (path.empty() || path == "-") return;
  // The output must not replace a file that this command reads or writes, nor a file of a pretraining run.
  for (const auto& other : others) {
    if (other.path.empty() || other.path == "-") continue;
    if (are_same_file(path, other.path))
      throw UsageError(option, " ", path, " is the file of ", other.option,
                       " too, which would be overwritten; choose another path");
    if (is_read_from(path, other.path))
      throw UsageError(option, " ", path, " is a file of ", other.option, " ", other.path,
                       ", which would be overwritten; choose another path");
  }
  if (is_file_of_run(path, run))
    throw UsageError(option, " ", path,
                     " is a file of the run in that folder, which would be overwritten; choose another path");
  // The parent folder must exist and be writable; system errors there are the user's choice of path, so they become UsageError.
  const auto folder = std::filesystem::absolute(path).parent_path();
  const bool there = as_usage_error(concat(option, " ", path, ": "), "; choose another path", [&] {
    if (!data::exists(folder.string())) return false;
    data::require_writable(path);
    return true;
  });
  if (!there) throw UsageError(option, " ", path, ": there is no folder ", folder.string(), "; create it first");
}

void Warnings::add(const std::string& sentence) {
  constexpr std::size_t kMostKept = 100;
  // A loop can produce the same warning at every step: the hash recognizes it without keeping all the text.
  if (!hashes_.insert(std::hash<std::string>()(sentence)).second) return;
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
  if (place == "-")
    put(json_text(result));
  else
    data::write_file(place, json_text(result));
}

void print_line(const std::string& json_place, const std::string& line) {
  if (!json_place.empty()) return print_message(json_place, line);
  put(line + "\n");
}

void print_message(const std::string& json_place, const std::string& line) {
  // After a failure the stream is reset to its state before this line: a lost message must not be reported as a lost result.
  std::FILE* stream = json_place == "-" ? stderr : stdout;
  const bool failed_before = std::ferror(stream) != 0;
  if (std::fprintf(stream, "%s\n", line.c_str()) >= 0 && std::fflush(stream) == 0) return;
  if (failed_before) return;
  ::__fpurge(stream);
  std::clearerr(stream);
}

std::string unwritten_output() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && stdout_error == 0) {
    // A network file system may report a failed write only at close(), so close a duplicate. If dup() fails, stdout is closed and
    // nothing was written to it.
    const int copy = ::dup(STDOUT_FILENO);
    if (copy < 0 || ::close(copy) == 0) return {};
  }
  return concat("standard output cannot be written: ", reason_of(stdout_error != 0 ? stdout_error : errno));
}

}  // namespace unlabel::launch
