#pragma once

#include <unlabel/augment/codec/planar_image.h>
#include <unlabel/augment/transforms/pipeline.h>

#include <span>

namespace unlabel::augment {

// Views by vector instructions, in one go from an image's planes to floats: what training reads.
//
// They are the same views as Pipeline::apply's, with the same parameters, and other rounding in the resize: a JPEG's colors are resized as
// they are stored and become RGB afterwards, in 64ths of a level, by weights of 16 bits. Behind it the arithmetic is PIL's again, in whole
// levels from operation to operation. docs/augment.md says by how much views differ. Results do not depend on threads; between instruction
// sets they may differ by a rounding here and there, since weights are computed with fused multiply-add where there is one (view_kernel.h).

/// Whether all steps of a pipeline are known to the fast way: RandomResizedCrop first; then flips, torchvision's ColorJitter, gray and
/// solarize; at most one GaussianBlur, with nothing but a solarize and a flip behind it; and a Normalize or nothing at the end.
bool can_fuse(const Pipeline& pipeline);

/// Applies drawn parameters as Pipeline::apply does. Throws UsageError as it does, and for a pipeline that cannot be fused.
void apply_fused(const Pipeline& pipeline, const PlanarImage& image, std::span<const TransformParams> params,
                 float* out);

/// Whether this machine has vector instructions for it; without them the exact way is no slower.
bool fused_views_are_fast();

}  // namespace unlabel::augment
