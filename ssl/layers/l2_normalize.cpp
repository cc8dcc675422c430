#include <unlabel/ssl/layers/l2_normalize.h>

#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/nn/functional/normalization.h>
#include <torch/types.h>

namespace unlabel::ssl {

namespace F = torch::nn::functional;

at::Tensor l2_normalize(const at::Tensor& x) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  return F::normalize(x.to(at::promote_types(x.scalar_type(), at::kFloat)), F::NormalizeFuncOptions().dim(1));
}

}  // namespace unlabel::ssl
