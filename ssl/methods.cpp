#include <unlabel/augment/error.h>
#include <unlabel/ssl/methods.h>

#include <algorithm>

namespace unlabel::ssl {

OptionTable table(MethodOptions& options) {
  OptionTable t;
  t.section("swav", table(options.swav));
  return t;
}

const std::vector<std::string>& method_names() {
  static const std::vector<std::string> names{"swav"};
  return names;
}

void require_method(const std::string& name) {
  const auto& names = method_names();
  if (std::find(names.begin(), names.end(), name) != names.end()) return;
  std::string all;
  for (const auto& known : names) all += (all.empty() ? "" : ", ") + known;
  throw UsageError("there is no method '", name, "'", did_you_mean(name, names), "; there are: ", all);
}

std::shared_ptr<Method> make_method(const std::string& name, const MethodOptions& options,
                                    std::shared_ptr<Encoder> encoder, std::int64_t global_batch,
                                    std::shared_ptr<const Group> group) {
  require_method(name);
  if (name == "swav") return std::make_shared<Swav>(std::move(encoder), options.swav, global_batch, std::move(group));
  UNLABEL_INVARIANT(false);  // a name in method_names() without its line above
  return nullptr;
}

}  // namespace unlabel::ssl
