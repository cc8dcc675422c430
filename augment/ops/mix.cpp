#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/mix.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace unlabel::augment {

namespace {

double normal(Random& random) {
  const double radius = std::sqrt(-2 * std::log(1 - random.uniform()));
  return radius * std::cos(2 * std::numbers::pi * random.uniform());
}

/// The logarithm of a Gamma(alpha, 1) number, which may be too small for a double itself (Marsaglia & Tsang 2000, by rejection; for
/// alpha < 1 as Gamma(alpha + 1) U^(1 / alpha)).
double log_gamma_number(double alpha, Random& random) {
  double log_factor = 0;
  if (alpha < 1) {
    log_factor = std::log(1 - random.uniform()) / alpha;
    alpha += 1;
  }
  const double d = alpha - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = normal(random), v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    if (std::log(1 - random.uniform()) < x * x / 2 + d - d * v + d * std::log(v)) return std::log(d * v) + log_factor;
  }
}

std::int64_t sample_size(std::span<const float> batch, std::int64_t samples) {
  if (samples < 1 || batch.size() % static_cast<std::size_t>(samples) != 0)
    throw UsageError("a batch of ", batch.size(), " numbers is not one of ", samples, " samples");
  return static_cast<std::int64_t>(batch.size()) / samples;
}

}  // namespace

double draw_share(double alpha, Random& random) {
  if (!(alpha > 0 && alpha <= 1e6)) throw UsageError("alpha must be above 0 and at most 1e6, not ", alpha);
  const double a = log_gamma_number(alpha, random), b = log_gamma_number(alpha, random);
  return 1 / (1 + std::exp(b - a));
}

void mixup(std::span<float> batch, std::int64_t samples, double share) {
  const auto size = sample_size(batch, samples);
  if (!(share >= 0 && share <= 1)) throw UsageError("mixup: the share must be in [0, 1], not ", share);
  const auto own = static_cast<float>(share), rest = static_cast<float>(1 - share);
  const std::vector<float> last(batch.end() - size, batch.end());
  for (std::int64_t i = samples - 1; i >= 0; --i) {
    float* const here = batch.data() + i * size;
    const float* const before = i > 0 ? here - size : last.data();
    for (std::int64_t k = 0; k < size; ++k) here[k] = own * here[k] + rest * before[k];
  }
}

cv::Rect cutmix_box(double share, cv::Size image, Random& random) {
  if (!(share >= 0 && share <= 1)) throw UsageError("cutmix_box: the share must be in [0, 1], not ", share);
  if (image.width < 1 || image.height < 1) throw UsageError("cutmix_box: the images are empty");
  const int x = static_cast<int>(random.below(static_cast<std::uint32_t>(image.width)));
  const int y = static_cast<int>(random.below(static_cast<std::uint32_t>(image.height)));
  const double half = 0.5 * std::sqrt(1 - share);
  const int across = static_cast<int>(half * image.width), down = static_cast<int>(half * image.height);
  return cv::Rect(cv::Point(std::max(0, x - across), std::max(0, y - down)),
                  cv::Point(std::min(image.width, x + across), std::min(image.height, y + down)));
}

double cutmix(std::span<float> batch, std::int64_t samples, int channels, cv::Size image, cv::Rect box) {
  const auto size = sample_size(batch, samples);
  const auto plane = static_cast<std::int64_t>(image.width) * image.height;
  if (channels < 1 || size != channels * plane)
    throw UsageError("samples of ", size, " numbers are not images of ", channels, " x ", image.height, " x ",
                     image.width);
  if (box.x < 0 || box.y < 0 || box.width < 0 || box.height < 0 || box.width > image.width - box.x ||
      box.height > image.height - box.y)
    throw UsageError("a box of ", box.width, " x ", box.height, " at (", box.x, ", ", box.y,
                     ") does not fit in images of ", image.width, " x ", image.height);
  const std::vector<float> last(batch.end() - size, batch.end());
  for (std::int64_t i = samples - 1; i >= 0; --i) {
    float* const here = batch.data() + i * size;
    const float* const before = i > 0 ? here - size : last.data();
    for (int c = 0; c < channels; ++c)
      for (int y = box.y; y < box.y + box.height; ++y) {
        const auto place = c * plane + static_cast<std::int64_t>(y) * image.width + box.x;
        std::copy_n(before + place, box.width, here + place);
      }
  }
  return 1 - static_cast<double>(box.area()) / static_cast<double>(plane);
}

void mix_labels(std::span<const std::int64_t> labels, std::int64_t classes, double share, std::span<float> out) {
  if (classes < 1 || out.size() != labels.size() * static_cast<std::size_t>(classes))
    throw UsageError("there is room for ", out.size(), " numbers, not for ", labels.size(), " samples x ", classes,
                     " classes");
  if (!(share >= 0 && share <= 1)) throw UsageError("mix_labels: the share must be in [0, 1], not ", share);
  for (const auto label : labels)
    if (label < 0 || label >= classes) throw UsageError("the label ", label, " is not in [0, ", classes, ")");
  std::fill(out.begin(), out.end(), 0.0f);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto before = labels[(i + labels.size() - 1) % labels.size()];
    float* const row = out.data() + i * static_cast<std::size_t>(classes);
    row[labels[i]] += static_cast<float>(share);
    row[before] += static_cast<float>(1 - share);
  }
}

}  // namespace unlabel::augment
