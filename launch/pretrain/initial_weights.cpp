#include <unlabel/augment/error.h>
#include <unlabel/augment/json_text.h>
#include <unlabel/augment/system_error.h>
#include <unlabel/data/io/files.h>
#include <unlabel/launch/pretrain/initial_weights.h>
#include <unlabel/launch/pretrain/pretrain_options.h>

#include <torch/types.h>

namespace unlabel::launch {

namespace {

/// The location of the weights at `path`. Throws UsageError when there are none.
EncoderLocation find_weights(const std::string& path, const std::string& option) {
  const bool there = as_usage_error(concat(option, " ", path, ": "), "", [&] { return data::exists(path); });
  if (!there) throw UsageError(option, " ", path, ": no such file or run folder");
  auto place = find_encoder(path);
  if (place.file.empty() && place.checkpoints.empty())
    throw UsageError(option, " ", path, ": this folder contains neither encoder.safetensors nor a checkpoint");
  return place;
}

}  // namespace

std::optional<ssl::EncoderOptions> encoder_options_at(const std::string& path, const std::string& option) {
  const auto place = find_weights(path, option);
  if (!place.file.empty()) return ssl::read_encoder_options(place.file);
  auto settings = checkpoint_options(place.checkpoints);
  // No checkpoint is readable: read_checkpoint() throws with the reasons, unless a running training has written a new one meanwhile.
  if (!settings) settings = read_checkpoint(place.checkpoints).training.at("options");
  ssl::EncoderOptions options;
  table(options).from_json(json_member<nlohmann::json::object_t>(*settings, "encoder", place.checkpoints),
                           concat(place.checkpoints, ": encoder"));
  return options;
}

nlohmann::json settings_of_weights(const ssl::EncoderOptions& encoder) {
  nlohmann::json settings{
      {"arch", encoder.arch}, {"width", encoder.width}, {"in_channels", encoder.in_channels}, {"sobel", encoder.sobel}};
  if (ssl::encoder_facts(encoder.arch).residual) settings["stem"] = encoder.stem;
  return settings;
}

std::string contradiction(const nlohmann::json& asked, const ssl::EncoderOptions& weights, const std::string& path) {
  const auto settings = settings_of_weights(weights);
  for (const char* name : {"arch", "width", "stem", "in_channels", "sobel"}) {
    if (!asked.is_object() || !asked.contains(name) || !settings.contains(name) || asked.at(name) == settings.at(name))
      continue;
    return concat("--encoder.", with_dashes(name), " is ", asked.at(name).dump(), ", but the weights in ", path,
                  " have ", settings.at(name).dump());
  }
  return "";
}

ssl::LoadReport load_initial_weights(const std::string& path, ssl::Encoder& encoder, const ssl::EncoderOptions& options,
                                     bool partial) {
  const auto place = find_weights(path, "--init");
  if (place.file.empty())
    return load_encoder_weights(encoder, options, read_checkpoint(place.checkpoints), place.checkpoints, partial);
  return ssl::load_state(encoder, ssl::read_weights(place.file).tensors,
                         {.partial = partial, .source = place.file, .model = ssl::model_name(options)});
}

ssl::LoadReport load_encoder_weights(ssl::Encoder& encoder, const ssl::EncoderOptions& options,
                                     const Checkpoint& checkpoint, const std::string& source, bool partial) {
  const auto model = ssl::model_name(options);
  return ssl::load_state(encoder, checkpoint.tensors,
                         {.prefix = "method.backbone.", .partial = partial, .source = source, .model = model});
}

}  // namespace unlabel::launch
