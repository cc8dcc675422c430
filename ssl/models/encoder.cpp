#include <unlabel/augment/error.h>
#include <unlabel/augment/list_name.h>
#include <unlabel/ssl/models/convnet.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/models/resnet.h>

#include <torch/types.h>

#include <algorithm>
#include <utility>

namespace unlabel::ssl {

namespace {

/// The specification of "resnetDEPTH".
EncoderSpec resnet(int depth, std::int64_t features_per_width) {
  return {concat("resnet", depth),
          [depth](const EncoderOptions& options) { return make_resnet(depth, options); },
          {.features_per_width = features_per_width},
          [depth](const TensorShapes& shapes) { return infer_resnet(depth, shapes); }};
}

/// All architectures; add_encoder appends to it.
std::vector<EncoderSpec>& mutable_encoders() {
  const EncoderFacts convnet{.features_per_width = 64, .residual = false, .only_size = 224};
  static std::vector<EncoderSpec> all{resnet(18, 8),
                                      resnet(34, 8),
                                      resnet(50, 32),
                                      resnet(101, 32),
                                      resnet(152, 32),
                                      {"alexnet", make_alexnet, convnet, infer_alexnet},
                                      {"vgg16", make_vgg16, convnet, infer_vgg16}};
  return all;
}

/// Null if there is none.
const EncoderSpec* find(const std::string& arch) {
  const auto found = std::ranges::find(mutable_encoders(), arch, &EncoderSpec::name);
  return found == mutable_encoders().end() ? nullptr : &*found;
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& encoder : encoders()) all.push_back(encoder.name);
  return all;
}

}  // namespace

const std::vector<EncoderSpec>& encoders() { return mutable_encoders(); }

void add_encoder(EncoderSpec encoder) {
  require_list_name("an encoder", encoder.name);
  if (find(encoder.name)) throw UsageError("there is an encoder '", encoder.name, "' already");
  if (!encoder.make) throw UsageError("the encoder '", encoder.name, "' has no function that makes it");
  mutable_encoders().push_back(std::move(encoder));
}

const EncoderSpec& find_encoder(const std::string& arch) {
  if (const auto* found = find(arch)) return *found;
  throw UsageError("no encoder is called '", arch, "'", did_you_mean(arch, names()), "; --encoder.arch takes ",
                   joined(names(), ", "));
}

EncoderFacts encoder_facts(const std::string& arch) {
  const auto* found = find(arch);
  return found ? found->facts : EncoderFacts();
}

EncoderOutput ImageEncoder::encode(const data::Batch& input, const OutputRequest& request) {
  return encode_images(input["images"], request);
}

ImageEncoder& image_encoder(Encoder& encoder) {
  if (auto* images = dynamic_cast<ImageEncoder*>(&encoder)) return *images;
  throw UsageError("the encoder takes no images; only an encoder of images can be used here");
}

OptionTable table(EncoderOptions& o) {
  OptionTable t;
  t.add("arch", o.arch, "architecture: " + joined(names(), ", "));
  t.add("width", o.width, "channels after the first convolution of a ResNet (published: 64)");
  t.add("stem", o.stem,
        "first layers of a ResNet: imagenet (7x7 stride 2 and max pooling) or small (3x3 stride 1, for images up to "
        "about 64 pixels)");
  t.add("in_channels", o.in_channels, "channels of the images: 3, or 1 for gray");
  t.add("sobel", o.sobel,
        "a fixed Sobel filter before the first layer: the network sees edges instead of colors (DeepCluster)");
  t.add("zero_init_residual", o.zero_init_residual,
        "initialize every residual block as the identity (weight 0 of its last batch norm)");
  return t;
}

std::shared_ptr<Encoder> make_encoder(const EncoderOptions& options) {
  return find_encoder(options.arch).make(options);
}

std::shared_ptr<ImageEncoder> make_image_encoder(const EncoderOptions& options) {
  // Check the inputs first, so that a large network of another kind is not built in vain.
  const auto& spec = find_encoder(options.arch);
  if (spec.facts.inputs == EncoderFacts().inputs)
    if (auto encoder = std::dynamic_pointer_cast<ImageEncoder>(spec.make(options))) return encoder;
  throw UsageError("--encoder.arch ", options.arch, " takes ", joined(spec.facts.inputs, " and "),
                   ", not images: choose an encoder of images");
}

}  // namespace unlabel::ssl
