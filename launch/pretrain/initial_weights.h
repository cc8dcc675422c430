#pragma once

#include <unlabel/launch/checkpoint/checkpoint.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/weights/weights.h>

#include <nlohmann/json.hpp>

#include <optional>
#include <string>

namespace unlabel::launch {

/// The architecture of the weights at `path` (a file, a run folder, or a checkpoint), determined without reading the weights: from names
/// and shapes in the file, or from the run's settings. nullopt: unknown. Throws UsageError, which begins with `option` ("--init"), when
/// there are no weights at `path`, and as ssl::read_encoder_options does.
std::optional<ssl::EncoderOptions> encoder_options_at(const std::string& path, const std::string& option);

/// The settings of the section `encoder` that weights determine: architecture, width, stem, input channels, Sobel filter.
nlohmann::json settings_of_weights(const ssl::EncoderOptions& encoder);

/// A message for the first setting in `asked` (from a command line or a recipe) that differs from the weights in `path`:
/// "--encoder.width is 8, but the weights in FILE have 4"; empty when there is none.
std::string contradiction(const nlohmann::json& asked, const ssl::EncoderOptions& weights, const std::string& path);

/// Loads the weights at `path` into an encoder. Unless `partial`, they must contain all of its tensors. Throws as ssl::load_state does.
ssl::LoadReport load_initial_weights(const std::string& path, ssl::Encoder& encoder, const ssl::EncoderOptions& options,
                                     bool partial);

/// The same with the weights in a checkpoint that was read from `source`.
ssl::LoadReport load_encoder_weights(ssl::Encoder& encoder, const ssl::EncoderOptions& options,
                                     const Checkpoint& checkpoint, const std::string& source, bool partial);

}  // namespace unlabel::launch
