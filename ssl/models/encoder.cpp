#include <unlabel/augment/error.h>
#include <unlabel/ssl/models/convnet.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/models/resnet.h>

#include <torch/types.h>

namespace unlabel::ssl {

namespace {

constexpr const char* kAll = "resnet18, resnet34, resnet50, resnet101, resnet152, alexnet or vgg16";

}  // namespace

OptionTable table(EncoderOptions& o) {
  OptionTable t;
  t.add("arch", o.arch, kAll);
  t.add("width", o.width, "channels of the first stage (the papers' networks: 64)");
  t.add("stem", o.stem,
        "imagenet (7x7 stride 2 and max pooling) or small (3x3 stride 1, for images up to about 64 pixels)");
  t.add("in_channels", o.in_channels, "channels of the images: 3, or 1 for grey");
  t.add("sobel", o.sobel, "the network sees edges instead of colors (DeepCluster)");
  t.add("zero_init_residual", o.zero_init_residual, "start every residual block as the identity");
  return t;
}

std::shared_ptr<Encoder> make_encoder(const EncoderOptions& options) {
  const auto& arch = options.arch;
  if (arch == "resnet18") return make_resnet(18, options);
  if (arch == "resnet34") return make_resnet(34, options);
  if (arch == "resnet50") return make_resnet(50, options);
  if (arch == "resnet101") return make_resnet(101, options);
  if (arch == "resnet152") return make_resnet(152, options);
  if (arch == "alexnet") return make_alexnet(options);
  if (arch == "vgg16") return make_vgg16(options);
  const std::vector<std::string> known = {"resnet18",  "resnet34", "resnet50", "resnet101",
                                          "resnet152", "alexnet",  "vgg16"};
  throw UsageError("no encoder is called '", arch, "'", did_you_mean(arch, known), "; --encoder.arch takes ", kAll);
}

}  // namespace unlabel::ssl
