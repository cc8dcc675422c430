#pragma once

#include <unlabel/augment/transforms/parameters.h>

#include <vector>

namespace unlabel::augment {

// From colors to what a network takes. The arithmetic is in ops/normalize.h; transform.h documents the functions of each transform.

/// (x - mean) / std by channel.
struct Normalize {
  static constexpr const char* kName = "Normalize";
  using Params = NoParams;
  std::vector<double> mean{0.485, 0.456, 0.406};
  std::vector<double> std{0.229, 0.224, 0.225};
};
OptionTable table(Normalize&);
void validate(const Normalize&, const std::string& where);
ImageInfo info_after(const Normalize&, ImageInfo info, const std::string& where);
void apply(const Normalize&, const NoParams&, WorkImage& work);

}  // namespace unlabel::augment
