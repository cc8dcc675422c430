#pragma once

#include <unlabel/augment/codec/planar_image.h>
#include <unlabel/augment/transforms/pipeline.h>

#include <span>

namespace unlabel::augment {

// Views by vector instructions, in one pass from an image's planes to floats: those that training uses.
//
// They have the same parameters as Pipeline::apply's and differ by rounding in the resize: a JPEG's colors are resized as they are stored
// and converted to RGB afterwards, in 64ths of a level, with weights of 16 bits. After it the arithmetic is PIL's again, in whole levels
// from operation to operation. docs/augment.md says by how much views differ. Results do not depend on threads; between instruction sets
// they may differ by a rounding here and there, since weights are computed with fused multiply-add where there is one (view_kernel.h).

/// Whether a pipeline can be fused: RandomResizedCrop first; then flips, torchvision's ColorJitter, gray and
/// solarize; at most one GaussianBlur, followed by nothing but a solarize and a flip; and a Normalize or nothing at the end.
bool can_fuse(const Pipeline& pipeline);

/// Applies parameters as Pipeline::apply does. Throws UsageError as it does, and for a pipeline that cannot be fused.
void apply_fused(const Pipeline& pipeline, const PlanarImage& image, std::span<const TransformParams> params,
                 float* out);

/// Whether this machine has vector instructions for it; without them Pipeline::apply is no slower.
bool fused_views_are_fast();

}  // namespace unlabel::augment
