// Times k-means by ssl/clustering/kmeans from given initial centroids; used by kmeans_faiss.py.
//
// usage: kmeans POINTS FIRST DIM ITERATIONS plane|sphere CENTROIDS
// POINTS, FIRST (the initial centroids) and CENTROIDS (the output) are files of rows of DIM float32 values, without a header. Prints one
// JSON object. Uses OMP_NUM_THREADS threads.
#include <unlabel/augment/error.h>
#include <unlabel/augment/exception_text.h>
#include <unlabel/launch/distributed/main_setup.h>
#include <unlabel/ssl/clustering/kmeans.h>
#include <unlabel/ssl/group.h>

#include <ATen/Parallel.h>
#include <nlohmann/json.hpp>
#include <torch/types.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

at::Tensor read_rows(const std::string& path, std::int64_t d) {
  const auto bytes = static_cast<std::int64_t>(std::filesystem::file_size(path));
  auto rows = torch::empty({bytes / (d * 4), d});
  std::ifstream(path, std::ios::binary).read(static_cast<char*>(rows.data_ptr()), rows.numel() * 4);
  return rows;
}

}  // namespace

int main(int count, char** values) {
  using namespace unlabel;
  if (count != 7) {
    std::fputs("usage: kmeans POINTS FIRST DIM ITERATIONS plane|sphere CENTROIDS\n", stderr);
    return 2;
  }
  try {
    launch::quiet_libraries();
    const std::int64_t d = std::atoll(values[3]);
    const auto points = read_rows(values[1], d), first = read_rows(values[2], d);
    ssl::KmeansOptions options{.clusters = first.size(0), .iterations = 1};
    options.spherical = std::string(values[5]) == "sphere";
    const auto group = ssl::single_process();
    ssl::kmeans(points, options, *group, first);  // warm-up
    options.iterations = std::atoi(values[4]);
    const auto cpu_begin = std::clock();
    const auto begin = std::chrono::steady_clock::now();
    const auto result = ssl::kmeans(points, options, *group, first);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    const double cpu_seconds = static_cast<double>(std::clock() - cpu_begin) / CLOCKS_PER_SEC;
    std::ofstream(values[6], std::ios::binary)
        .write(static_cast<const char*>(result.centroids.contiguous().data_ptr()), result.centroids.numel() * 4);
    const nlohmann::json summary{{"seconds", seconds.count()},
                                 {"cpu_seconds", cpu_seconds},
                                 {"threads", at::get_num_threads()},
                                 {"objective", result.objective},
                                 {"split", result.splits}};
    std::puts(summary.dump().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kmeans: %s\n", exception_text(error).c_str());
    return 1;
  }
}
