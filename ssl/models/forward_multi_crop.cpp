#include <unlabel/ssl/models/forward_multi_crop.h>

#include <torch/types.h>

namespace unlabel::ssl {

at::Tensor forward_multi_crop(ImageEncoder& encoder, const std::vector<at::Tensor>& crops) {
  std::vector<at::Tensor> features;
  // [begin, end) is the longest run of crops of equal size from `begin`.
  for (std::size_t begin = 0, end; begin < crops.size(); begin = end) {
    end = begin + 1;
    while (end < crops.size() && crops[end].sizes() == crops[begin].sizes()) ++end;
    features.push_back(encoder.forward(at::cat({crops.data() + begin, end - begin})));
  }
  return at::cat(features);
}

}  // namespace unlabel::ssl
