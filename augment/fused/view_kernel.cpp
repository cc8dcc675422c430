// This file is compiled once for every set of instructions (Highway's foreach_target), and the best is chosen when the program runs.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unlabel/augment/fused/view_kernel.cpp"
#include <unlabel/augment/error.h>
#include <unlabel/augment/fused/view_kernel.h>

// Vectors are members and elements of arrays here, which those of unknown length cannot be.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#endif
#include <hwy/foreach_target.h>  // NOLINT: before highway.h
#include <hwy/highway.h>
// The parts of a view, each once a target (they have guards of their own).
#include <unlabel/augment/fused/blur-inl.h>
#include <unlabel/augment/fused/color-inl.h>
#include <unlabel/augment/fused/resize-inl.h>

HWY_BEFORE_NAMESPACE();
namespace unlabel::augment::HWY_NAMESPACE {
namespace {

/// One view, part by part. What one leaves in `scratch` the next goes on with; the last writes `out`.
void make_view_here(const PlanarImage& image, const FusedViewParams& plan, ViewScratch& scratch, float* out) {
  resize_view(image, plan, scratch);
  color_view(plan, scratch, out);
  if (plan.blur) blur_view(plan, scratch, out);
}

}  // namespace
}  // namespace unlabel::augment::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unlabel::augment {

namespace {

HWY_EXPORT(make_view_here);

/// The targets that there is code for and that run here, the fastest first: Highway gives the better ones the lower bits.
const std::vector<std::int64_t>& targets() {
  static const auto all = [] {
    const std::int64_t usable = HWY_TARGETS & (hwy::SupportedTargets() | HWY_STATIC_TARGET);
    std::vector<std::int64_t> found;
    for (int bit = 0; bit < 63; ++bit)
      if (const std::int64_t target = std::int64_t{1} << bit; usable & target) found.push_back(target);
    return found;
  }();
  return all;
}

std::string chosen;  // "": the fastest

}  // namespace

void make_view(const PlanarImage& image, const FusedViewParams& plan, ViewScratch& scratch, float* out) {
  HWY_DYNAMIC_DISPATCH(make_view_here)(image, plan, scratch, out);
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const auto target : targets()) names.emplace_back(hwy::TargetName(target));
  return names;
}

std::string instruction_set() { return chosen.empty() ? instruction_sets().front() : chosen; }

void use_instruction_set(const std::string& name) {
  std::string known;
  for (const auto target : targets()) {
    known += std::string(known.empty() ? "" : ", ") + hwy::TargetName(target);
    if (!name.empty() && name != hwy::TargetName(target)) continue;
    hwy::GetChosenTarget().Update(target);
    chosen = name;
    return;
  }
  throw UsageError("there is no instruction set '", name, "' here; there are ", known);
}

}  // namespace unlabel::augment
#endif
