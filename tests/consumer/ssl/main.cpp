#include <unlabel/ssl/models/encoder.h>

#include <ATen/ops/randn.h>

#include <cstdio>

int main() {
  const auto encoder = unlabel::ssl::make_image_encoder({.arch = "resnet18", .width = 8, .stem = "small"});
  const auto features = encoder->forward(at::randn({2, 3, 16, 16}));
  std::printf("%ld x %ld\n", long(features.size(0)), long(features.size(1)));
  return features.size(0) == 2 && features.size(1) == encoder->feature_dim() ? 0 : 1;
}
