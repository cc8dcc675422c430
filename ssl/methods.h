#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/methods/byol.h>
#include <unlabel/ssl/methods/deepcluster.h>
#include <unlabel/ssl/methods/deepcluster_v2.h>
#include <unlabel/ssl/methods/moco.h>
#include <unlabel/ssl/methods/simclr.h>
#include <unlabel/ssl/methods/swav.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/planning/planner.h>

#include <any>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace unlabel::ssl {

/// Options of any type that has a table, by value.
class OwnOptions {
 public:
  OwnOptions() = default;
  template <class Options>
  explicit OwnOptions(Options value)
      : value_(std::move(value)), table_([](std::any& held) { return table(std::any_cast<Options&>(held)); }) {}

  /// Empty without options.
  OptionTable fields() { return table_ ? table_(value_) : OptionTable(); }
  template <class Options>
  const Options& get() const {
    return std::any_cast<const Options&>(value_);
  }

 private:
  std::any value_;
  OptionTable (*table_)(std::any&) = nullptr;
};

/// The options of every method, a section each, under the method's name: `--swav.prototypes 300`.
struct MethodOptions {
  MethodOptions();

  ByolOptions byol;
  DeepClusterOptions deepcluster;
  DeepClusterV2Options deepcluster_v2;
  MocoOptions moco;
  SimclrOptions simclr;
  SwavOptions swav;
  std::map<std::string, OwnOptions> own;  ///< of methods that were added, by name
};
OptionTable table(MethodOptions& options);

/// What `make_method` knows, in alphabetical order.
std::vector<std::string> method_names();

/// The same on one line: "byol, swav".
std::string method_list();

/// Throws UsageError for a name that `make_method` does not know, naming the nearest and all there are.
void require_method(const std::string& name);

/// Builds a method by its name. Throws UsageError for an unknown name, naming the nearest, and for options out of range.
std::shared_ptr<Method> make_method(const std::string& name, const MethodOptions& options, const MethodScene& scene);

/// A method that is not in this library, for a program of one's own: own_method makes it; docs/new_method.md.
struct OwnMethod {
  std::string name;  ///< as users write it: "simsiam"
  std::function<std::shared_ptr<Method>(const OwnOptions&, const MethodScene&)> make;
  MethodPlan plan{};     ///< settings from the data (plan_builder.h); without `plan.plan` a run needs a --recipe
  OwnOptions options{};  ///< the defaults
};

/// M is made from (const Options&, const MethodScene&). Options is a struct of one's own with `OptionTable table(Options&)` beside it,
/// whose fields become the section `name` of a run's options.
template <class M, class Options>
OwnMethod own_method(std::string name, MethodPlan plan = {}) {
  return {std::move(name),
          [](const OwnOptions& options, const MethodScene& scene) {
            return std::make_shared<M>(options.get<Options>(), scene);
          },
          std::move(plan), OwnOptions(Options())};
}

/// Makes the library know a method: by its name in `make_method`, `make_plan` and in MethodOptions made from then on. To be called before
/// anything else, as launch::program does. Throws UsageError for a name that is taken, or that is not of small letters, digits and
/// underscores.
void add_method(OwnMethod method);

}  // namespace unlabel::ssl
