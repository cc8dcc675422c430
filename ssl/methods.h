#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/ssl/method.h>
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

/// The options of one method: of any struct that has an `OptionTable table(Options&)`, by value.
class AnyOptions {
 public:
  AnyOptions() = default;
  template <class Options>
  explicit AnyOptions(Options value)
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

/// A method of learning: one of the library, or a program's own (method_spec; docs/new_method.md).
struct MethodSpec {
  std::string name;  ///< as users write it: "swav"
  std::function<std::shared_ptr<Method>(const AnyOptions&, const MethodContext&)> make;
  /// What a sample becomes, by the method's options, for data that are no images; null: views of images, by the run's sections `augment`
  /// and `decode`.
  std::function<std::shared_ptr<const data::SampleTransform>(const AnyOptions&)> transform{};
  MethodPlan plan{};  ///< settings from the data (planning/plan_builder.h); without `plan.plan` a run needs a --recipe
  AnyOptions
      options{};  ///< the defaults; their fields are the section `name` of a run's options: `--swav.prototypes 300`
};

/// M is made from (const Options&, const MethodContext&). One that learns from other data than images has a static function
/// sample_transform(const Options&).
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

/// Adds a method of a program's own, to be called before anything else, as launch::program does. Throws UsageError for a name that is
/// taken, or that is not of small letters, digits and underscores.
void add_method(MethodSpec method);

/// Throws UsageError for a name that is not among them, naming the nearest and all there are.
const MethodSpec& find_method(const std::string& name);

/// Their names, as a list and on one line: "byol, swav".
std::vector<std::string> method_names();
std::string method_list();

/// The options of every method, by name, a section each.
struct MethodOptions {
  MethodOptions();

  template <class Options>
  const Options& get(const std::string& method) const {
    return of_method.at(method).template get<Options>();
  }

  std::map<std::string, AnyOptions> of_method;
};
OptionTable table(MethodOptions& options);

/// Builds a method by its name. Throws UsageError as find_method does, and for options out of range.
std::shared_ptr<Method> make_method(const std::string& name, const MethodOptions& options,
                                    const MethodContext& context);

}  // namespace unlabel::ssl
