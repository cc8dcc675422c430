#include "launch/program.h"

#include "launch/rank_threads.h"
#include <fcntl.h>
#include <gtest/gtest.h>
#include <opencv2/imgcodecs.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>

extern char** environ;

namespace unlabel::launch {

namespace fs = std::filesystem;

Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Arguments small_run(const std::string& data, const std::string& out) {
  return {"pretrain",
          "swav",
          "--data",
          data,
          "--out",
          out,
          "--epochs",
          "6",
          "--batch-size",
          "16",
          "--encoder.arch",
          "resnet18",
          "--encoder.width",
          "4",
          "--encoder.stem",
          "small",
          "--swav.prototypes",
          "12",
          "--swav.projection-dim",
          "8",
          "--swav.hidden-dim",
          "16",
          "--swav.freeze-prototypes-iterations",
          "5",
          "--swav.queue-length",
          "32",
          "--swav.queue-start-epoch",
          "0",
          "--optimizer.kind",
          "larc",
          "--optimizer.lr",
          "0.02",
          "--schedule.warmup-epochs",
          "1",
          "--augment.preset",
          "swav",
          "--augment.global-size",
          "16",
          "--augment.global-count",
          "2",
          "--augment.local-size",
          "8",
          "--augment.local-count",
          "2",
          "--augment.blur",
          "false",
          "--threads",
          "1",
          "--seed",
          "3"};
}

Arguments with(Arguments arguments, const std::map<std::string, std::string>& values) {
  for (const auto& [name, value] : values) {
    const auto place = std::find(arguments.begin(), arguments.end(), name);
    if (place == arguments.end())
      arguments.insert(arguments.end(), {name, value});
    else
      *(place + 1) = value;
  }
  return arguments;
}

Arguments method_run(const std::string& method, const std::string& data, const std::string& out) {
  Arguments arguments{"pretrain", method, "--data", data, "--out", out};
  const std::map<std::string, std::string> shared{{"--epochs", "6"},
                                                  {"--batch-size", "16"},
                                                  {"--encoder.arch", "resnet18"},
                                                  {"--encoder.width", "4"},
                                                  {"--encoder.stem", "small"},
                                                  {"--optimizer.kind", "sgd"},
                                                  {"--optimizer.lr", "0.001"},
                                                  {"--augment.global-size", "16"},
                                                  {"--augment.blur", "false"},
                                                  {"--threads", "1"},
                                                  {"--seed", "3"}};
  const std::map<std::string, std::map<std::string, std::string>> own{
      {"byol", {{"--byol.hidden-dim", "16"}, {"--byol.projection-dim", "8"}, {"--byol.base-momentum", "0.9"}}},
      {"deepcluster",
       {{"--deepcluster.clusters", "6"},
        {"--deepcluster.pca-dim", "8"},
        {"--deepcluster.top-layer-lr", "0.01"},
        {"--augment.preset", "deepcluster"},
        {"--encoder.sobel", "true"}}},
      {"deepcluster_v2",
       {{"--deepcluster-v2.hidden-dim", "16"},
        {"--deepcluster-v2.projection-dim", "8"},
        {"--deepcluster-v2.prototypes", "[6, 5, 4]"},
        {"--deepcluster-v2.freeze-prototypes-iterations", "5"},
        {"--augment.local-count", "2"},
        {"--augment.local-size", "8"}}},
      {"moco",
       {{"--moco.hidden-dim", "16"},
        {"--moco.projection-dim", "8"},
        {"--moco.momentum", "0.9"},
        {"--moco.queue-length", "40"},
        {"--moco.norm-group", "4"}}},
      {"simclr", {{"--simclr.hidden-dim", "16"}, {"--simclr.projection-dim", "8"}}},
      {"swav",
       {{"--swav.hidden-dim", "16"},
        {"--swav.projection-dim", "8"},
        {"--swav.prototypes", "12"},
        {"--swav.freeze-prototypes-iterations", "5"},
        {"--swav.queue-length", "32"},
        {"--swav.queue-start-epoch", "0"},
        {"--augment.local-count", "2"},
        {"--augment.local-size", "8"}}}};
  EXPECT_TRUE(own.contains(method)) << method << " has no small settings here";
  for (const auto& [name, value] : shared) arguments.insert(arguments.end(), {name, value});
  for (const auto& [name, value] : own.at(method)) arguments.insert(arguments.end(), {name, value});
  return arguments;
}

bool Outcome::one_line() const { return !err.empty() && err.back() == '\n' && err.find('\n') == err.size() - 1; }

Program::Program(const std::vector<std::string>& command, const Variables& given) {
  // One thread for these tiny networks: on a busy machine threads that wait for each other cost more than they bring.
  Variables variables{{"OMP_NUM_THREADS", "1"}};
  for (const auto& [name, value] : given) variables[name] = value;
  std::string pattern = (fs::temp_directory_path() / "unlabel-program-XXXXXX").string();
  folder_ = ::mkdtemp(pattern.data());
  // Everything is made ready before fork: between it and exec only system calls are allowed.
  std::vector<std::string> environment;
  for (char** item = environ; *item; ++item) {
    const std::string text = *item;
    const std::string name = text.substr(0, text.find('='));
    if (!variables.contains(name) && name != "RANK" && name != "WORLD_SIZE") environment.push_back(text);
  }
  for (const auto& [name, value] : variables) environment.push_back(name + "=" + value);
  std::vector<char*> arguments, settings;
  for (const auto& text : command) arguments.push_back(const_cast<char*>(text.c_str()));
  for (const auto& text : environment) settings.push_back(const_cast<char*>(text.c_str()));
  arguments.push_back(nullptr);
  settings.push_back(nullptr);
  const std::string out = (folder_ / "out").string(), err = (folder_ / "err").string();
  process_ = ::fork();
  if (process_ == 0) {
    ::dup2(::open("/dev/null", O_RDONLY), 0);
    ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT, 0600), 1);
    ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT, 0600), 2);
    ::execvpe(arguments[0], arguments.data(), settings.data());
    ::_exit(127);
  }
}

Program::~Program() {
  if (process_ > 0) {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  fs::remove_all(folder_);
}

bool Program::running() const {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

void Program::signal(int number) const { ::kill(process_, number); }

Outcome Program::wait() {
  int status = 0;
  ::waitpid(process_, &status, 0);
  process_ = -1;
  Outcome outcome;
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  outcome.out = read_bytes((folder_ / "out").string());
  outcome.err = read_bytes((folder_ / "err").string());
  return outcome;
}

Program::Memory Program::memory() const {
  std::ifstream status("/proc/" + std::to_string(process_) + "/status");
  Memory memory;
  for (std::string line; std::getline(status, line);) {
    std::istringstream fields(line);
    std::string name;
    std::int64_t kibibytes = 0;
    fields >> name >> kibibytes;
    if (name == "VmRSS:") memory.resident = kibibytes * 1024;
    if (name == "VmHWM:") memory.peak = kibibytes * 1024;
  }
  return memory;
}

std::string Program::errors_so_far() const { return read_bytes((folder_ / "err").string()); }

namespace {
std::vector<std::string> command_of(const std::vector<std::string>& arguments) {
  std::vector<std::string> command{UNLABEL_BINARY_DIR "/unlabel"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}
}  // namespace

Outcome unlabel(const std::vector<std::string>& arguments, const Variables& variables) {
  return Program(command_of(arguments), variables).wait();
}

std::vector<std::unique_ptr<Program>> start_ranks(int world_size, const std::vector<std::string>& arguments) {
  return start_ranks(std::vector<Arguments>(world_size, arguments));
}

std::vector<std::unique_ptr<Program>> start_ranks(const std::vector<Arguments>& arguments,
                                                  const std::vector<Variables>& variables,
                                                  const std::vector<std::string>& own_programs) {
  const std::string port = std::to_string(free_port()), size = std::to_string(arguments.size());
  std::vector<std::unique_ptr<Program>> programs;
  for (std::size_t rank = 0; rank < arguments.size(); ++rank) {
    Variables all{{"RANK", std::to_string(rank)},
                  {"WORLD_SIZE", size},
                  {"LOCAL_WORLD_SIZE", size},
                  {"MASTER_ADDR", "127.0.0.1"},
                  {"MASTER_PORT", port}};
    if (!variables.empty())
      for (const auto& [name, value] : variables[rank]) all[name] = value;
    auto command = command_of(arguments[rank]);
    if (!own_programs.empty()) command[0] = own_programs[rank];
    programs.push_back(std::make_unique<Program>(command, all));
  }
  return programs;
}

std::vector<Outcome> unlabel_ranks(int world_size, const std::vector<std::string>& arguments,
                                   const Variables& variables) {
  std::vector<Outcome> outcomes;
  for (const auto& program :
       start_ranks(std::vector<Arguments>(world_size, arguments), std::vector<Variables>(world_size, variables)))
    outcomes.push_back(program->wait());
  return outcomes;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "unlabel-test-XXXXXX").string();
  path_ = ::mkdtemp(pattern.data());
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void make_images(const std::string& folder, int count, int side, int classes, int seed) {
  for (int i = 0; i < count; ++i) {
    const int label = classes > 0 ? i % classes : 0;
    cv::Mat image(side, side, CV_8UC3);
    std::uint32_t noise = static_cast<std::uint32_t>(seed * 7919 + i + 1) * 2654435761u;
    for (int y = 0; y < side; ++y)
      for (int x = 0; x < side; ++x)
        for (int c = 0; c < 3; ++c) {
          noise = noise * 1664525u + 1013904223u;
          const double wave = std::sin((label + 1) * 0.7 * (label % 2 ? x : y) + i * 0.3 + c);
          image.at<cv::Vec3b>(y, x)[c] = cv::saturate_cast<uchar>(128 + 80 * wave + static_cast<int>(noise >> 27) - 16);
        }
    const fs::path place = classes > 0 ? fs::path(folder) / ("class" + std::to_string(label)) : fs::path(folder);
    fs::create_directories(place);
    char name[32];
    std::snprintf(name, sizeof name, "%05d.png", i);
    ASSERT_TRUE(cv::imwrite((place / name).string(), image));
  }
}

std::vector<nlohmann::json> read_lines(const std::string& path) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(read_bytes(path));
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace unlabel::launch
