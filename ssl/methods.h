#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/ssl/byol.h>
#include <unlabel/ssl/deepcluster.h>
#include <unlabel/ssl/deepcluster_v2.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/moco.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/simclr.h>
#include <unlabel/ssl/swav.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace unlabel::ssl {

/// The options of every method, a section each, under the method's name: `--swav.prototypes 300`.
struct MethodOptions {
  ByolOptions byol;
  DeepClusterOptions deepcluster;
  DeepClusterV2Options deepcluster_v2;
  MocoOptions moco;
  SimclrOptions simclr;
  SwavOptions swav;
};
OptionTable table(MethodOptions& options);

/// What `make_method` knows.
const std::vector<std::string>& method_names();

/// They in one line: "byol, swav".
std::string method_list();

/// Throws UsageError for a name that `make_method` does not know, naming the nearest and all there are.
void require_method(const std::string& name);

/// What a method is made for.
struct MethodScene {
  EncoderOptions encoder;         ///< what networks to build
  std::int64_t images = 0;        ///< in the data set
  std::int64_t global_batch = 0;  ///< samples an iteration, over all ranks and micro-batches
  std::uint64_t seed = 0;         ///< of what the method draws itself
  std::shared_ptr<const Group> group = single_process();
};

/// Builds a method by its name. Throws UsageError for an unknown name, naming the nearest, and for options out of range.
std::shared_ptr<Method> make_method(const std::string& name, const MethodOptions& options, const MethodScene& scene);

}  // namespace unlabel::ssl
