#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace unlabel::ssl {

/// Properties of an architecture that are known without building it.
struct EncoderFacts {
  std::int64_t features_per_width = 32;       ///< feature_dim() / EncoderOptions::width
  bool residual = true;                       ///< options encoder.stem and encoder.zero_init_residual apply
  std::int64_t only_size = 0;                 ///< required height and width of images, in pixels; 0: any
  std::vector<std::string> inputs{"images"};  ///< names of the input tensors: {"images"}, {"token_ids", "mask"}
};

/// Looks up the facts of an architecture by its name; returns the defaults if it is unknown.
using EncoderFactsOf = std::function<EncoderFacts(const std::string& arch)>;

}  // namespace unlabel::ssl
