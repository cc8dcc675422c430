#pragma once

#include <unlabel/launch/checkpoint/checkpoint.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/weights/weights.h>

#include <nlohmann/json.hpp>

#include <optional>
#include <string>

namespace unlabel::launch {

/// The network whose weights `path` holds (a file, a run folder, or a checkpoint), without reading them: from names and shapes, or from the
/// run's settings. nullopt: none that we know. Throws UsageError, which begins with `option` ("--init"), when there is nothing there,
/// and as ssl::read_encoder_options does.
std::optional<ssl::EncoderOptions> encoder_options_at(const std::string& path, const std::string& option);

/// The settings in a section `encoder` that weights decide: architecture, width, stem, input channels, Sobel filter.
nlohmann::json settings_of_weights(const ssl::EncoderOptions& encoder);

/// "--encoder.width is 8, and the weights in FILE are of 4", for the first setting that `asked` (of a command line or a recipe) has
/// otherwise than the weights in `path`; empty: there is none.
std::string contradiction(const nlohmann::json& asked, const ssl::EncoderOptions& weights, const std::string& path);

/// Fills an encoder with the weights at `path`. Throws as ssl::load_state does: unless `partial` all of it must be filled.
ssl::LoadReport start_from(const std::string& path, ssl::Encoder& encoder, const ssl::EncoderOptions& options,
                           bool partial);

/// The same with those in a checkpoint that has been read from `source`.
ssl::LoadReport fill_encoder(ssl::Encoder& encoder, const ssl::EncoderOptions& options, const Checkpoint& checkpoint,
                             const std::string& source, bool partial);

}  // namespace unlabel::launch
