// Draws the eight views of SwAV from one image, twice: equal keys give equal views, and another key gives others.
#include <unlabel/augment/transforms/presets.h>

#include <cstdio>
#include <vector>

using namespace unlabel::augment;

static std::vector<float> view(const MultiCrop& crops, const ImageSource& image, int which, std::uint64_t sample) {
  std::vector<std::vector<float>> views;
  std::vector<float*> out;
  for (int v = 0; v < crops.views(); ++v) views.emplace_back(crops.shape(v).size());
  for (auto& memory : views) out.push_back(memory.data());
  crops(image, {.seed = 1, .epoch = 0, .sample = sample, .view = 0}, out);
  return views[which];
}

int main() {
  ImageSource image;
  image.pixels.create(120, 160, CV_8UC3);
  for (int i = 0; i < 120 * 160 * 3; ++i) image.pixels.data[i] = static_cast<unsigned char>(i % 251);
  const auto crops = preset("swav");
  const auto first = view(crops, image, 7, 5), again = view(crops, image, 7, 5), other = view(crops, image, 7, 6);
  std::printf("%d views; the last has %zu numbers, beginning with %f\n", crops.views(), first.size(), first[0]);
  return crops.views() == 8 && first.size() == 3 * 96 * 96 && first == again && first != other ? 0 : 1;
}
