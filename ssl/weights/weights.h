#pragma once

#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/weights/safetensors.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace unlabel::ssl {

/// The parameters and buffers of a module (not copies) with the names and in the order of PyTorch's state_dict(): a module's own
/// parameters, its own buffers, then its children.
NamedTensors state_of(const torch::nn::Module& module);

struct LoadOptions {
  /// Use only tensors whose names begin with this prefix ("teacher.backbone."), and remove it. Empty: choose it, see load_state.
  std::string prefix = "";
  /// Every tensor of the module must be given and every given tensor used, as for a checkpoint.
  bool strict = false;
  /// Tensors of the module that are not given, or have another shape, keep their values; otherwise that is an error.
  bool partial = false;
  std::string source = "";           ///< for messages: the name of the file that the tensors are from
  std::string model = "this model";  ///< for messages: the name of the module
};

/// The outcome of load_state for each name.
struct LoadReport {
  std::string prefix;                   ///< the prefix that was removed from the names
  std::vector<std::string> matched;     ///< names in the module that were loaded
  std::vector<std::string> missing;     ///< names in the module that were not given; their values are unchanged
  std::vector<std::string> unexpected;  ///< given names that the module does not have (in full, with their prefix)
  std::vector<std::string> mismatched;  ///< "name: 64x3x7x7 given, 16x3x3x3 wanted"; their values are unchanged
  std::vector<std::string> ignored;     ///< given weights of a classifier: `fc.*`

  /// True if everything in the module was loaded. A missing num_batches_tracked does not count (nothing reads it, and old files lack it).
  bool complete() const;
  /// "122 tensors loaded (prefix 'module.'); 0 missing, 7 unexpected, 0 of a wrong shape, 2 ignored"
  std::string summary() const;
  /// The names of tensors that are missing, of a wrong shape, unexpected or ignored, one per line, at most 20 of each; empty if there are
  /// none.
  std::string detail() const;
};

/// Copies tensors into those of the module with the same names. Converts type and device; keeps the module's memory and strides. All of the
/// module's tensors must be given, except counters (num_batches_tracked), which nothing reads.
///
/// The names may have prefixes of known_prefixes() in any combination. The combination under which most of the module's tensors are found
/// (not counting counters) is removed; among equals the shorter one, then that of the network that is meant for use (encoder_q and not
/// encoder_k, teacher before student).
///
/// Before anything is changed, throws UsageError if no tensor matches or one to be loaded is not finite; MismatchError, unless `partial`,
/// if a tensor of the module is missing or mismatched, or a given one that the module does not have belongs to one of its layers; and
/// MismatchError, if `strict`, for any missing, mismatched or unexpected tensor.
LoadReport load_state(torch::nn::Module& module, const NamedTensors& tensors, const LoadOptions& options = {});

/// "a resnet18 of width 16 (small stem)": an architecture, for messages.
std::string model_name(const EncoderOptions& options);

/// The prefixes that other frameworks put before a backbone's names, for messages: "module. backbone. ...".
std::string known_prefixes();

/// Reads weights from a file given by the user; with `data` false only names, types and shapes (device `meta`). The format is safetensors.
/// Throws UsageError for a PyTorch pickle (.pth, .pt, .ckpt ...), with a command that converts it, and for a file that is damaged, of
/// another format or not a regular file. The names of a ResNet that was saved as a torch.nn.Sequential of its children (0.weight, 1.weight,
/// 4.0.conv1.weight ..., as by lightly) are changed to torchvision's.
TensorFile read_weights(const std::string& path, bool data = true);

/// Names of the tensors that contain NaN or infinity.
std::vector<std::string> nonfinite_tensors(const NamedTensors& tensors);

/// Infers the architecture and its options from names and shapes (data are not read), by EncoderSpec::infer of all encoders(); nullopt if
/// none fits.
std::optional<EncoderOptions> infer_encoder(const NamedTensors& tensors);

/// The same for a file, of which only the header is read. Throws as read_weights does, and MismatchError if the file's metadata contradicts
/// the options that its shapes give.
std::optional<EncoderOptions> read_encoder_options(const std::string& path);

/// Writes an encoder for use by other programs: its tensors with torchvision's names, and as metadata `arch`, `width`, `stem`,
/// `in_channels` and the caller's `metadata` (size, mean and std of its input). In Python:
///
///     torchvision.models.resnet50().load_state_dict(safetensors.torch.load_file("encoder.safetensors"), strict=False)
///
/// Atomic; equal weights and metadata give equal bytes.
void write_encoder(const std::string& path, const Encoder& encoder, const EncoderOptions& options,
                   const std::map<std::string, std::string>& metadata = {});

/// An encoder and the contents of its file.
struct LoadedEncoder {
  std::shared_ptr<Encoder> encoder;  ///< float32, on the CPU, in training mode as every new module is
  EncoderOptions options;
  std::map<std::string, std::string> metadata;  ///< all metadata of the file
  LoadReport report;
};

/// Reads an encoder from a file that write_encoder wrote, or that has the weights of any known architecture, such as a ResNet with
/// torchvision's names (weights of a classifier `fc` are ignored). The architecture is inferred from names and shapes, unless `options` is
/// given. Throws as read_weights does; UsageError if the architecture cannot be inferred (the message asks for --encoder.arch) or weights
/// are not finite; MismatchError if the weights do not fill the encoder.
LoadedEncoder read_encoder(const std::string& path, const std::optional<EncoderOptions>& options = std::nullopt);

}  // namespace unlabel::ssl
