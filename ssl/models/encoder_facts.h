#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace unlabel::ssl {

/// What can be known of an architecture without building it.
struct EncoderFacts {
  std::int64_t features_per_width = 32;  ///< feature_dim() is so many times the width
  bool residual = true;        ///< has a stem to choose, and residual blocks (encoder.stem, encoder.zero_init_residual)
  std::int64_t only_size = 0;  ///< the side of the images that it takes; 0: any
  std::vector<std::string> inputs{"images"};  ///< tensors that it takes: {"images"}, {"token_ids", "mask"}
};

/// The facts of an architecture by its name; of an unknown one the defaults.
using EncoderFactsOf = std::function<EncoderFacts(const std::string& arch)>;

}  // namespace unlabel::ssl
