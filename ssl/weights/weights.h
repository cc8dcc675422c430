#pragma once

#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/weights/safetensors.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace unlabel::ssl {

/// Parameters and buffers of a module in the order of PyTorch's state_dict(), under the same names: a module's own
/// parameters, its own buffers, then its children. The tensors are the module's own, not copies.
NamedTensors state_of(const torch::nn::Module& module);

struct LoadOptions {
  /// Take only the names that begin with this, without it ("teacher.backbone."). Empty: find it, see load_state.
  std::string prefix = "";
  /// Every tensor of the module must be given and every given one used, as a checkpoint has it.
  bool strict = false;
  /// Tensors of the module that are not given, or of another shape, are left as they are; otherwise that is an error.
  bool partial = false;
  std::string source = "";           ///< where the tensors are from, for messages: a file's name
  std::string model = "this model";  ///< what they are for, likewise
};

/// What load_state did with each name.
struct LoadReport {
  std::string prefix;                   ///< what was taken off the names
  std::vector<std::string> matched;     ///< names in the module that were filled
  std::vector<std::string> missing;     ///< names in the module that nothing was given for: left as they were
  std::vector<std::string> unexpected;  ///< given names that the module lacks (in full, with their prefix)
  std::vector<std::string> mismatched;  ///< "name: 64x3x7x7 given, 16x3x3x3 wanted": left as they were
  std::vector<std::string> ignored;     ///< given classifier weights: `fc.*`

  /// Everything in the module was filled. A missing num_batches_tracked does not count (nothing reads it, and old files
  /// lack it).
  bool complete() const;
  /// "122 tensors loaded (prefix 'module.'); 0 missing, 7 unexpected, 0 of a wrong shape, 2 ignored"
  std::string summary() const;
  /// The names behind each count, one a line; empty when there is nothing to tell.
  std::string detail() const;
};

/// Copies tensors into those of the module by name, converting type and device and keeping the module's memory and
/// strides. All of the module's tensors must be given, counters (num_batches_tracked) excepted, which nothing reads.
///
/// The names may carry a prefix of known_prefixes() in any combination: the one under which most of the module's tensors are found is taken
/// off; of equal ones the shorter, then that of the network that is meant to be used (encoder_q and not encoder_k, teacher before
/// student). Counters are no match.
///
/// Before anything is changed, throws UsageError when nothing matches or a tensor to be taken is not finite, and MismatchError when the
/// module is not filled, or a tensor that it lacks stands among its own layers' (both unless partial), or, if strict, any is left over.
LoadReport load_state(torch::nn::Module& module, const NamedTensors& tensors, const LoadOptions& options = {});

/// "a resnet18 of width 16 (small stem)": an architecture, for messages.
std::string model_name(const EncoderOptions& options);

/// The prefixes of names that other frameworks put before a backbone's, for messages: "module., backbone., ...".
std::string known_prefixes();

/// Reads weights from a file that a user named; without `data` their names and shapes alone (device `meta`). For now that is .safetensors;
/// a PyTorch pickle (.pth, .pt, .ckpt ...) is a UsageError that says how to convert it, and so is a file that is damaged or something else,
/// or no regular file. A ResNet that was saved as a torch.nn.Sequential of its children (0.weight, 1.weight, 4.0.conv1.weight ..., as
/// lightly does) comes under torchvision's names.
TensorFile read_weights(const std::string& path, bool data = true);

/// Names of the tensors that hold a NaN or an infinity.
std::vector<std::string> nonfinite_tensors(const NamedTensors& tensors);

/// The architecture whose names and shapes these are (no data is needed): a ResNet under torchvision's names, AlexNet or VGG-16.
/// nullopt: none of them.
std::optional<EncoderOptions> infer_encoder(const NamedTensors& tensors);

/// The architecture of a file of weights, by its header alone; nullopt when it is none that we know. Throws as read_weights does, and
/// MismatchError when the file's metadata says another one than its shapes.
std::optional<EncoderOptions> read_encoder_options(const std::string& path);

/// Writes an encoder for others to use: its tensors under torchvision's names, and as metadata `arch`, `width`, `stem`,
/// `in_channels` and what the caller adds (size, mean, std of its input). In Python:
///
///     torchvision.models.resnet50().load_state_dict(safetensors.torch.load_file("encoder.safetensors"), strict=False)
///
/// Atomic; equal weights and metadata give equal bytes.
void write_encoder(const std::string& path, const Encoder& encoder, const EncoderOptions& options,
                   const std::map<std::string, std::string>& metadata = {});

/// An encoder and what its file said of it.
struct LoadedEncoder {
  std::shared_ptr<Encoder> encoder;  ///< float32, on the CPU, in training mode as every new module is
  EncoderOptions options;
  std::map<std::string, std::string> metadata;  ///< all of it
  LoadReport report;
};

/// Reads an encoder: one of ours, or any ResNet under torchvision's names, whose architecture then follows from its
/// shapes (a `fc` is ignored). `options`, when given, is built instead. Throws as read_weights does,
/// UsageError that asks for --encoder.arch when the shapes are no ResNet's or when weights are not finite, MismatchError when they do not
/// fill the encoder.
LoadedEncoder read_encoder(const std::string& path, const std::optional<EncoderOptions>& options = std::nullopt);

}  // namespace unlabel::ssl
