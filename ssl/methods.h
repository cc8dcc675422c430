#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/swav.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace unlabel::ssl {

/// The options of every method, a section each, under the method's name: `--swav.prototypes 300`.
struct MethodOptions {
  SwavOptions swav;
};
OptionTable table(MethodOptions& options);

/// What `make_method` knows.
const std::vector<std::string>& method_names();

/// Throws UsageError for a name that `make_method` does not know, naming the nearest and all there are.
void require_method(const std::string& name);

/// Builds a method by its name around an encoder. `global_batch`: samples an iteration, over all ranks and
/// micro-batches. Throws UsageError for an unknown name, naming the nearest, and for options out of range.
std::shared_ptr<Method> make_method(const std::string& name, const MethodOptions& options,
                                    std::shared_ptr<Encoder> encoder, std::int64_t global_batch,
                                    std::shared_ptr<const Group> group);

}  // namespace unlabel::ssl
