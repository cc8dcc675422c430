#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/ssl/byol.h>
#include <unlabel/ssl/deepcluster.h>
#include <unlabel/ssl/deepcluster_v2.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/moco.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/planner.h>
#include <unlabel/ssl/simclr.h>
#include <unlabel/ssl/swav.h>

#include <functional>
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

/// What `make_method` knows, in alphabetical order.
std::vector<std::string> method_names();

/// They in one line: "byol, swav".
std::string method_list();

/// Throws UsageError for a name that `make_method` does not know, naming the nearest and all there are.
void require_method(const std::string& name);

/// Builds a method by its name. Throws UsageError for an unknown name, naming the nearest, and for options out of range.
std::shared_ptr<Method> make_method(const std::string& name, const MethodOptions& options, const MethodScene& scene);

/// A method that is not in this library, for a program of one's own: docs/new_method.md.
struct OwnMethod {
  std::string name;  ///< as users write it: "simsiam"
  std::function<std::shared_ptr<Method>(const MethodScene&)> make;
  PlanFunction plan{};                     ///< settings from the data (planner_parts.h); none: a run needs a --recipe
  std::function<OptionTable()> options{};  ///< a section of options, under the method's name; none: no options
};

/// Makes the library know a method: by its name in `make_method`, `make_plan` and the options of a run. To be called before
/// anything else. Throws UsageError for a name that is taken, or that is not of small letters, digits and underscores.
void add_method(OwnMethod method);

}  // namespace unlabel::ssl
