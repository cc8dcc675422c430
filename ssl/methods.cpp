#include <unlabel/augment/error.h>
#include <unlabel/ssl/methods.h>

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

std::shared_ptr<Method> make_method(const std::string& name, const MethodOptions& options, std::shared_ptr<Encoder> encoder,
                                    std::int64_t global_batch, std::shared_ptr<const Group> group) {
  if (name == "swav") return std::make_shared<Swav>(std::move(encoder), options.swav, global_batch, std::move(group));
  std::string all;
  for (const auto& known : method_names()) all += (all.empty() ? "" : ", ") + known;
  throw UsageError("there is no method '", name, "'", did_you_mean(name, method_names()), "; there are: ", all);
}

}  // namespace unlabel::ssl
