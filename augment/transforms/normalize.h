#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/augment/transforms/parameters.h>

#include <string>
#include <vector>

namespace unlabel::augment {

struct Known;
class Work;

// From colors to what a network takes. The arithmetic is in ops/planar.h.
// What the functions of each step do is said in transform.h.

/// (x - mean) / std by channel.
struct Normalize {
  static constexpr const char* kName = "Normalize";
  std::vector<double> mean{0.485, 0.456, 0.406};
  std::vector<double> std{0.229, 0.224, 0.225};
};
OptionTable table(Normalize&);
void validate(const Normalize&, const std::string& where);
Known after(const Normalize&, Known known, const std::string& where);
void apply(const Normalize&, const NothingDrawn&, Work& work);

}  // namespace unlabel::augment
