#include <unlabel/augment/error.h>
#include <unlabel/ssl/methods.h>

#include <c10/util/Exception.h>

#include <algorithm>
#include <map>
#include <utility>

namespace unlabel::ssl {

namespace {

using Maker = std::function<std::shared_ptr<Method>(const MethodOptions&, const MethodScene&)>;

/// All methods, by name.
std::map<std::string, Maker>& makers() {
  static std::map<std::string, Maker> all{
      {"byol",
       [](const auto& options, const auto& scene) {
         if (options.byol.head_norm && scene.at_once() * scene.group->world_size() < 2)
           throw UsageError(
               "BYOL's heads normalize over the images that are taken at once, and there is only 1: give a larger ",
               scene.micro_batch > 0 && scene.micro_batch < scene.global_batch ? "--micro-batch" : "--batch-size");
         return std::make_shared<Byol>(make_encoder(scene.encoder), make_encoder(scene.encoder), options.byol);
       }},
      {"deepcluster",
       [](const auto& options, const auto& scene) {
         return std::make_shared<DeepCluster>(make_encoder(scene.encoder), options.deepcluster, scene);
       }},
      {"deepcluster_v2",
       [](const auto& options, const auto& scene) {
         return std::make_shared<DeepClusterV2>(make_encoder(scene.encoder), options.deepcluster_v2, scene);
       }},
      {"moco",
       [](const auto& options, const auto& scene) {
         return std::make_shared<Moco>(make_encoder(scene.encoder), make_encoder(scene.encoder), options.moco, scene);
       }},
      {"simclr",
       [](const auto& options, const auto& scene) {
         return std::make_shared<Simclr>(make_encoder(scene.encoder), options.simclr, scene);
       }},
      {"swav", [](const auto& options, const auto& scene) {
         return std::make_shared<Swav>(make_encoder(scene.encoder), options.swav, scene.global_batch, scene.group);
       }}};
  return all;
}

/// The default options of methods that were added.
std::map<std::string, OwnOptions>& own_defaults() {
  static std::map<std::string, OwnOptions> all;
  return all;
}

}  // namespace

MethodOptions::MethodOptions() : own(own_defaults()) {}

OptionTable table(MethodOptions& options) {
  OptionTable t;
  t.section("byol", table(options.byol));
  t.section("deepcluster", table(options.deepcluster));
  t.section("deepcluster_v2", table(options.deepcluster_v2));
  t.section("moco", table(options.moco));
  t.section("simclr", table(options.simclr));
  t.section("swav", table(options.swav));
  for (auto& [name, own] : options.own) t.section(name, own.fields());
  return t;
}

std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const auto& [name, make] : makers()) names.push_back(name);
  return names;
}

std::string method_list() { return joined(method_names(), ", "); }

void require_method(const std::string& name) {
  if (makers().contains(name)) return;
  throw UsageError("there is no method '", name, "'", did_you_mean(name, method_names()),
                   "; there are: ", method_list());
}

std::shared_ptr<Method> make_method(const std::string& name, const MethodOptions& options, const MethodScene& scene) {
  require_method(name);
  try {
    return makers().at(name)(options, scene);
  } catch (const c10::DistError&) {
    throw;
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::Error& error) {  // of LibTorch, on sizes that are no sizes
    const std::string text = error.what_without_backtrace();
    throw UsageError("the networks of ", name,
                     " cannot be made with these settings: ", text.substr(0, text.find('\n')));
  }
}

void add_method(OwnMethod method) {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  if (method.name.empty() || !std::ranges::all_of(method.name, fits))
    throw UsageError("a method cannot be called '", method.name, "': use small letters, digits and underscores");
  if (makers().contains(method.name)) throw UsageError("there is a method '", method.name, "' already");
  if (!method.make) throw UsageError("the method '", method.name, "' has no function that makes it");
  add_plan(method.name, std::move(method.plan));
  own_defaults()[method.name] = std::move(method.options);
  makers()[method.name] = [make = std::move(method.make), name = method.name](const auto& options, const auto& scene) {
    return make(options.own.at(name), scene);
  };
}

}  // namespace unlabel::ssl
