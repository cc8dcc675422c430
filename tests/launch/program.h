#pragma once

// Runs the `unlabel` program as a user does, and makes small data for it.

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace unlabel::launch {

using Arguments = std::vector<std::string>;
Arguments operator+(Arguments a, const Arguments& b);

/// `pretrain swav` of 2 + 2 crops of two sizes, six epochs of 4 steps (of 64 images), with a queue that begins to fill in epoch 0 and is
/// full after two steps, and prototypes that are frozen for five.
Arguments small_run(const std::string& data, const std::string& out);

/// Small settings of a method of the library, on two views of 16 pixels and a batch of 16; six epochs.
Arguments method_run(const std::string& method, const std::string& data, const std::string& out);

/// The arguments with other values of these options.
Arguments with(Arguments arguments, const std::map<std::string, std::string>& values);

struct Outcome {
  int exit_code = -1;  ///< -N: ended by signal N
  std::string out, err;
  /// Exactly one line on stderr, as an error must be.
  bool one_line() const;
};

using Variables = std::map<std::string, std::string>;

/// A running program whose output goes to files.
class Program {
 public:
  Program(const std::vector<std::string>& command, const Variables& variables = {});
  ~Program();  ///< kills it when it still runs
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void signal(int number) const;
  bool running() const;
  struct Memory {
    std::int64_t resident = 0, peak = 0;
  };
  /// Bytes that it has in RAM now, and the most that it ever had there; 0 when it has ended.
  Memory memory() const;
  Outcome wait();
  std::string errors_so_far() const;

 private:
  std::filesystem::path folder_;
  int process_ = -1;
};

/// Runs build/.../unlabel with these arguments.
Outcome unlabel(const std::vector<std::string>& arguments, const Variables& variables = {});
/// The same on `world_size` processes that find each other by RANK and WORLD_SIZE, still running, by rank.
std::vector<std::unique_ptr<Program>> start_ranks(int world_size, const std::vector<std::string>& arguments);
/// The same with each rank's own arguments, and variables and a program beside them.
std::vector<std::unique_ptr<Program>> start_ranks(const std::vector<Arguments>& arguments,
                                                  const std::vector<Variables>& variables = {},
                                                  const std::vector<std::string>& programs = {});
/// Their outcomes by rank, when all have ended.
std::vector<Outcome> unlabel_ranks(int world_size, const std::vector<std::string>& arguments,
                                   const Variables& variables = {});

/// A folder that is removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// `count` PNG files of `side` pixels in `classes` folders (0: none) below `folder`, each class with a texture of its own; the same bytes
/// every time.
void make_images(const std::string& folder, int count, int side, int classes, int seed = 0);

std::vector<nlohmann::json> read_lines(const std::string& path);
std::string read_bytes(const std::string& path);

}  // namespace unlabel::launch
