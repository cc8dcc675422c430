#include <unlabel/augment/error.h>
#include <unlabel/augment/list_name.h>
#include <unlabel/eval/protocols.h>
#include <unlabel/eval/protocols/knn.h>
#include <unlabel/eval/protocols/linear.h>
#include <unlabel/eval/protocols/logistic.h>

#include <algorithm>
#include <utility>

namespace unlabel::eval {

namespace {

std::vector<ProtocolSpec>& list() {
  static std::vector<ProtocolSpec> all{
      knn_protocol("dino", 20, 0.07, "Caron et al. 2021, arXiv:2104.14294, its eval_knn"),
      knn_protocol("instdisc", 200, 0.07, "Wu et al. 2018, arXiv:1805.01978, section 3.4"),
      knn_protocol("lightly", 200, 0.1, "the lightly benchmarks, and VISSL's defaults"), logistic_protocol(),
      linear_probe_protocol()};
  return all;
}

std::vector<std::string> names_of_command(const std::string& command) {
  std::vector<std::string> names;
  for (const auto& protocol : list())
    if (protocol.command == command) names.push_back(protocol.name);
  return names;
}

}  // namespace

const std::vector<ProtocolSpec>& protocols() { return list(); }

void add_protocol(ProtocolSpec protocol) {
  require_list_name("a protocol", protocol.name);
  const auto names = names_of_command(protocol.command);
  if (names.empty())
    throw UsageError("protocol '", protocol.name, "': no command '", protocol.command, "' has protocols");
  if (std::ranges::find(names, protocol.name) != names.end())
    throw UsageError("there is a ", protocol.command, " protocol '", protocol.name, "' already");
  if (!protocol.run_on_features == !protocol.run_on_images)
    throw UsageError("the protocol '", protocol.name, "' must have either run_on_features or run_on_images");
  list().push_back(std::move(protocol));
}

const ProtocolSpec& find_protocol(const std::string& command, const std::string& name) {
  for (const auto& protocol : list())
    if (protocol.command == command && protocol.name == name) return protocol;
  throw UsageError("there is no ", command, " protocol '", name, "'", did_you_mean(name, names_of_command(command)),
                   "; there are: ", protocol_list(command));
}

std::string protocol_list(const std::string& command) { return joined(names_of_command(command), ", "); }

std::string protocol_help(const std::string& command) {
  constexpr std::size_t kColumn = 13;
  std::string text;
  for (const auto& protocol : list()) {
    if (protocol.command != command) continue;
    auto line = concat("\n  ", protocol.name, " ");
    line.resize(std::max(line.size(), kColumn), ' ');
    text += line + protocol.description;
  }
  return text;
}

}  // namespace unlabel::eval
