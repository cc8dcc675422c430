#pragma once

#include <unlabel/augment/any_options.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/planning/planner.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace unlabel::ssl {

/// A method of learning: one of the library, or a program's own (method_spec; docs/extending.md).
struct MethodSpec {
  std::string name;  ///< as users write it: "swav"
  std::function<std::shared_ptr<Method>(const AnyOptions&, const MethodContext&)> make;
  /// For data other than images: makes the transform from samples to tensors. Null: views of images, set by the run's option sections
  /// `augment` and `decode`.
  std::function<std::shared_ptr<const data::SampleTransform>(const AnyOptions&)> transform{};
  MethodPlan
      plan{};  ///< derives settings from the data (planning/plan_builder.h); without `plan.plan` a run needs a --recipe
  AnyOptions
      options{};  ///< the defaults; their fields form the section `name` of a run's options: `--swav.prototypes 300`
};

/// The MethodSpec of class M, which has a constructor M(const Options&, const MethodContext&). If it learns from data other than images, it
/// also has a static function sample_transform(const Options&).
template <class M, class Options>
MethodSpec method_spec(std::string name, MethodPlan plan = {}) {
  MethodSpec spec;
  spec.name = std::move(name);
  spec.make = [](const AnyOptions& options, const MethodContext& context) -> std::shared_ptr<Method> {
    return std::make_shared<M>(options.get<Options>(), context);
  };
  if constexpr (requires(const Options& options) { M::sample_transform(options); })
    spec.transform = [](const AnyOptions& options) -> std::shared_ptr<const data::SampleTransform> {
      return M::sample_transform(options.get<Options>());
    };
  spec.plan = std::move(plan);
  spec.options = AnyOptions(Options());
  return spec;
}

/// All methods, in alphabetical order.
const std::vector<MethodSpec>& methods();

/// Adds a method of your own program. Call it before anything else, as launch::program does. Throws UsageError if the name is taken or has
/// characters other than lower-case letters, digits and underscores, or if `make` is null.
void add_method(MethodSpec method);

/// The method with this name. Throws UsageError if there is none; the message has the most similar name and all names.
const MethodSpec& find_method(const std::string& name);

/// The names of all methods, as a list and as one line: "byol, swav".
std::vector<std::string> method_names();
std::string method_list();

/// The options of all methods, by the method's name. In the table each method is a section.
struct MethodOptions {
  MethodOptions();

  template <class Options>
  const Options& get(const std::string& method) const {
    return of_method.at(method).template get<Options>();
  }

  std::map<std::string, AnyOptions> of_method;
};
OptionTable table(MethodOptions& options);

/// Builds the method with this name. Throws UsageError if there is none, and for options out of range.
std::shared_ptr<Method> make_method(const std::string& name, const MethodOptions& options,
                                    const MethodContext& context);

}  // namespace unlabel::ssl
