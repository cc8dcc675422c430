#pragma once

#include <unlabel/ssl/method.h>

namespace unlabel::ssl {

/// Adds to an epoch's news how much the clusters of all samples (N, int64; negative: none) agree with those of the epoch before
/// (`nmi_before`; not where `before` is undefined) and with the labels (`nmi_labels`, where the data has any).
void add_mutual_information(Diagnostics& news, const at::Tensor& before, const at::Tensor& clusters,
                            const Epoch& epoch);

}  // namespace unlabel::ssl
