#include <unlabel/augment/error.h>
#include <unlabel/ssl/methods.h>

#include <algorithm>

namespace unlabel::ssl {

OptionTable table(MethodOptions& options) {
  OptionTable t;
  t.section("byol", table(options.byol));
  t.section("deepcluster", table(options.deepcluster));
  t.section("deepcluster_v2", table(options.deepcluster_v2));
  t.section("moco", table(options.moco));
  t.section("simclr", table(options.simclr));
  t.section("swav", table(options.swav));
  return t;
}

const std::vector<std::string>& method_names() {
  static const std::vector<std::string> names{"byol", "deepcluster", "deepcluster_v2", "moco", "simclr", "swav"};
  return names;
}

std::string method_list() {
  std::string all;
  for (const auto& name : method_names()) all += (all.empty() ? "" : ", ") + name;
  return all;
}

void require_method(const std::string& name) {
  const auto& names = method_names();
  if (std::find(names.begin(), names.end(), name) != names.end()) return;
  throw UsageError("there is no method '", name, "'", did_you_mean(name, names), "; there are: ", method_list());
}

std::shared_ptr<Method> make_method(const std::string& name, const MethodOptions& options, const MethodScene& scene) {
  require_method(name);
  auto encoder = make_encoder(scene.encoder);
  if (name == "byol") return std::make_shared<Byol>(std::move(encoder), make_encoder(scene.encoder), options.byol);
  if (name == "deepcluster")
    return std::make_shared<DeepCluster>(
        std::move(encoder), options.deepcluster,
        DeepClusterScene{scene.images, std::max<std::int64_t>(1, scene.global_batch / scene.group->world_size()),
                         scene.seed},
        scene.group);
  if (name == "deepcluster_v2")
    return std::make_shared<DeepClusterV2>(std::move(encoder), options.deepcluster_v2,
                                           DeepClusterV2Scene{scene.images, scene.global_batch, scene.seed},
                                           scene.group);
  if (name == "moco")
    return std::make_shared<Moco>(std::move(encoder), make_encoder(scene.encoder), options.moco, scene.seed,
                                  scene.group);
  if (name == "simclr")
    return std::make_shared<Simclr>(std::move(encoder), options.simclr, scene.global_batch, scene.group);
  if (name == "swav") return std::make_shared<Swav>(std::move(encoder), options.swav, scene.global_batch, scene.group);
  UNLABEL_INVARIANT(false);  // a name in method_names() without its line above
  return nullptr;
}

}  // namespace unlabel::ssl
