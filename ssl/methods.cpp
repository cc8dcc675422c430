#include <unlabel/augment/error.h>
#include <unlabel/augment/list_name.h>
#include <unlabel/ssl/methods.h>
#include <unlabel/ssl/methods/byol.h>
#include <unlabel/ssl/methods/deepcluster.h>
#include <unlabel/ssl/methods/deepcluster_v2.h>
#include <unlabel/ssl/methods/moco.h>
#include <unlabel/ssl/methods/simclr.h>
#include <unlabel/ssl/methods/swav.h>
#include <unlabel/ssl/planning/plan_builder.h>

#include <c10/util/Exception.h>

#include <algorithm>

namespace unlabel::ssl {

namespace {

/// All methods, sorted by name; add_method inserts into it.
std::vector<MethodSpec>& list() {
  static std::vector<MethodSpec> all{
      method_spec<Byol, ByolOptions>("byol", byol_plan()),
      method_spec<DeepCluster, DeepClusterOptions>("deepcluster", deepcluster_plan()),
      method_spec<DeepClusterV2, DeepClusterV2Options>("deepcluster_v2", deepcluster_v2_plan()),
      method_spec<Moco, MocoOptions>("moco", moco_plan()),
      method_spec<Simclr, SimclrOptions>("simclr", simclr_plan()),
      method_spec<Swav, SwavOptions>("swav", swav_plan())};
  return all;
}

}  // namespace

const std::vector<MethodSpec>& methods() { return list(); }

void add_method(MethodSpec method) {
  require_list_name("a method", method.name);
  // Keep the list sorted by name.
  const auto place = std::ranges::lower_bound(list(), method.name, {}, &MethodSpec::name);
  if (place != list().end() && place->name == method.name)
    throw UsageError("there is a method '", method.name, "' already");
  if (!method.make) throw UsageError("the method '", method.name, "' has no function that makes it");
  list().insert(place, std::move(method));
}

const MethodSpec& find_method(const std::string& name) {
  const auto found = std::ranges::find(methods(), name, &MethodSpec::name);
  if (found != methods().end()) return *found;
  throw UsageError("there is no method '", name, "'", did_you_mean(name, method_names()),
                   "; there are: ", method_list());
}

std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const auto& method : methods()) names.push_back(method.name);
  return names;
}

std::string method_list() { return joined(method_names(), ", "); }

MethodOptions::MethodOptions() {
  for (const auto& method : methods()) of_method.emplace(method.name, method.options);
}

OptionTable table(MethodOptions& options) {
  OptionTable t;
  for (auto& [name, fields] : options.of_method) t.section(name, fields.fields());
  return t;
}

std::shared_ptr<Method> make_method(const std::string& name, const MethodOptions& options,
                                    const MethodContext& context) {
  const auto& method = find_method(name);
  try {
    return method.make(options.of_method.at(name), context);
    // Lost ranks and missing memory are no usage errors. Other errors of LibTorch are about sizes that it cannot allocate or use.
  } catch (const c10::DistError&) {
    throw;
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    throw UsageError("the networks of ", name,
                     " cannot be made with these settings: ", text.substr(0, text.find('\n')));
  }
}

}  // namespace unlabel::ssl
