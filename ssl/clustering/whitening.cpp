#include <unlabel/augment/error.h>
#include <unlabel/ssl/clustering/whitening.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <algorithm>

namespace unlabel::ssl {

namespace {
constexpr std::int64_t kBlockRows =
    4096;  ///< rows converted to float64 or projected at a time, to bound temporary memory
}  // namespace

at::Tensor Whitening::operator()(const at::Tensor& x) const {
  auto y = torch::empty({x.size(0), projection.size(1)}, x.options());
  for (std::int64_t begin = 0; begin < x.size(0); begin += kBlockRows) {
    const auto rows = std::min(kBlockRows, x.size(0) - begin);
    y.narrow(0, begin, rows).copy_((x.narrow(0, begin, rows) - mean).matmul(projection));
  }
  return y;
}

Whitening fit_whitening(const at::Tensor& points, std::int64_t directions, const Group& group) {
  const torch::NoGradGuard no_grad;
  const auto d = points.size(1);
  if (directions < 1 || directions > d)
    throw UsageError("a projection of ", d, " dimensions onto ", directions, ": give 1 to ", d);
  const auto wide = points.options().dtype(torch::kFloat64);
  const auto blocks = [&](const auto& visit) {
    for (std::int64_t begin = 0; begin < points.size(0); begin += kBlockRows)
      visit(points.narrow(0, begin, std::min(kBlockRows, points.size(0) - begin)).to(torch::kFloat64));
  };
  // First pass: sum and number of points, in one vector for one all-reduce.
  auto sum = torch::zeros({d + 1}, wide);
  blocks([&](const at::Tensor& x) {
    sum.narrow(0, 0, d).add_(x.sum(0));
    sum[d].add_(static_cast<double>(x.size(0)));
  });
  group.all_reduce_sum(sum);
  const double count = sum[d].item<double>();
  if (count < 1) throw UsageError("a projection needs points");
  const auto mean = sum.narrow(0, 0, d) / count;
  // Second pass: covariance of the centered points, which is more exact than E[x x^T] - mean mean^T.
  auto covariance = torch::zeros({d, d}, wide);
  blocks([&](const at::Tensor& x) {
    const auto centered = x - mean;
    covariance.addmm_(centered.t(), centered);
  });
  group.all_reduce_sum(covariance);
  // Eigenvalues come in ascending order. All ranks use rank 0's eigenvectors, because signs, and bases of equal eigenvalues, may differ
  // between machines.
  const auto [values, vectors] = at::linalg_eigh(covariance / count);
  const auto largest = values.narrow(0, d - directions, directions).flip(0);
  const auto scale =
      at::where(largest > 1e-12 * values[d - 1].clamp_min(1e-300), largest.clamp_min(1e-300).rsqrt(), 0.0);
  Whitening whitening;
  whitening.mean = mean.to(points.scalar_type());
  whitening.projection =
      (vectors.narrow(1, d - directions, directions).flip(1) * scale).to(points.scalar_type()).contiguous();
  group.broadcast(whitening.projection);
  return whitening;
}

}  // namespace unlabel::ssl
