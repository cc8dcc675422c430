#include <unlabel/augment/error.h>
#include <unlabel/augment/options.h>
#include <unlabel/augment/system_error.h>
#include <unlabel/data/io/files.h>
#include <unlabel/ssl/weights/weights.h>

#include <c10/core/GradMode.h>
#include <fcntl.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <set>
#include <unordered_map>

namespace unlabel::ssl {
namespace {

std::string shape_text(const at::Tensor& tensor) {
  if (tensor.dim() == 0) return "scalar";
  std::string text;
  for (const auto size : tensor.sizes()) text = concat(text, text.empty() ? "" : "x", size);
  return text;
}

// Whether `given` can be copied to `wanted`: equal shape, and both floating-point or both not.
bool fits(const at::Tensor& given, const at::Tensor& wanted) {
  return given.sizes() == wanted.sizes() && given.is_floating_point() == wanted.is_floating_point();
}

bool is_counter(const std::string& name) { return name.ends_with("num_batches_tracked"); }

// Prefixes before the backbone's names in checkpoints of DistributedDataParallel, this project, lightly, solo-learn, mmselfsup, VISSL, MoCo
// (v1 to v3), BYOL and DINO. Of a method's two networks the one that is meant for use comes first, or is the only one listed.
constexpr std::array<const char*, 14> kWrappers{
    "module.",  "backbone.", "encoder.",    "method.",         "encoder_q.",      "base_encoder.", "teacher.",
    "student.", "model.",    "base_model.", "online_encoder.", "online_network.", "trunk.",        "_feature_blocks."};

// Every combination of known prefixes with which one of the names begins, "" first, and those of fewer parts before those of more.
std::vector<std::string> possible_prefixes(const NamedTensors& tensors) {
  std::vector<std::string> prefixes{""};
  for (std::size_t i = 0; i < prefixes.size() && prefixes.size() < 32; ++i) {
    for (const char* wrapper : kWrappers) {
      auto longer = prefixes[i] + wrapper;
      const auto begins = [&](const auto& item) { return item.first.starts_with(longer); };
      if (std::any_of(tensors.begin(), tensors.end(), begins)) prefixes.push_back(std::move(longer));
    }
  }
  return prefixes;
}

void append_state(const torch::nn::Module& module, const std::string& prefix, NamedTensors& state) {
  for (const auto& item : module.named_parameters(false)) state.emplace_back(prefix + item.key(), item.value());
  for (const auto& item : module.named_buffers(false)) state.emplace_back(prefix + item.key(), item.value());
  for (const auto& child : module.named_children()) append_state(*child.value(), prefix + child.key() + ".", state);
}

void append_names(std::string& text, const char* title, const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 20;
  if (names.empty()) return;
  text += concat(title, ":\n");
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) text += "  " + names[i] + "\n";
  if (names.size() > kShown) text += concat("  ... and ", names.size() - kShown, " more\n");
}

// Renames the tensors of a ResNet that was saved as a torch.nn.Sequential of the children of torchvision's ResNet: position 0 is conv1, and
// so on; children without weights are "".
NamedTensors with_torchvision_names(NamedTensors tensors) {
  constexpr std::array<const char*, 8> kChildren{"conv1", "bn1", "", "", "layer1", "layer2", "layer3", "layer4"};
  // It is such a ResNet if the first convolution, the first BatchNorm and the first block are at these positions.
  const auto has = [&](const std::string& name) {
    return std::any_of(tensors.begin(), tensors.end(), [&](const auto& item) { return item.first == name; });
  };
  for (const auto& prefix : possible_prefixes(tensors)) {
    if (!has(prefix + "0.weight") || !has(prefix + "1.running_mean") || !has(prefix + "4.0.conv1.weight")) continue;
    for (auto& [name, tensor] : tensors) {
      if (!name.starts_with(prefix) || name.size() < prefix.size() + 2 || name[prefix.size() + 1] != '.') continue;
      const auto child = static_cast<std::size_t>(static_cast<unsigned char>(name[prefix.size()])) - '0';
      if (child < kChildren.size() && *kChildren[child] != '\0') name.replace(prefix.size(), 1, kChildren[child]);
    }
  }
  return tensors;
}

// Throws if the metadata contradicts the options that were inferred from the shapes.
void check_metadata(const std::map<std::string, std::string>& metadata, const EncoderOptions& options,
                    const std::string& path) {
  const std::pair<const char*, std::string> expected[] = {{"arch", options.arch},
                                                          {"width", std::to_string(options.width)},
                                                          {"stem", options.stem},
                                                          {"in_channels", std::to_string(options.in_channels)}};
  for (const auto& [key, value] : expected) {
    const auto given = metadata.find(key);
    if (given != metadata.end() && given->second != value) {
      throw MismatchError(path, ": its metadata says ", key, " ", given->second, ", its weights are those of ", key,
                          " ", value);
    }
  }
}

}  // namespace

NamedTensors state_of(const torch::nn::Module& module) {
  NamedTensors state;
  append_state(module, "", state);
  return state;
}

bool LoadReport::complete() const {
  return mismatched.empty() && std::all_of(missing.begin(), missing.end(), is_counter);
}

std::string LoadReport::summary() const {
  return concat(matched.size(), " tensors loaded", prefix.empty() ? "" : " (prefix '" + prefix + "')", "; ",
                missing.size(), " missing, ", unexpected.size(), " unexpected, ", mismatched.size(),
                " of a wrong shape, ", ignored.size(), " ignored");
}

std::string LoadReport::detail() const {
  std::string text;
  append_names(text, "missing from the file", missing);
  append_names(text, "of a wrong shape", mismatched);
  append_names(text, "in the file but not in the model", unexpected);
  append_names(text, "ignored", ignored);
  return text;
}

LoadReport load_state(torch::nn::Module& module, const NamedTensors& tensors, const LoadOptions& options) {
  const auto state = state_of(module);
  std::unordered_map<std::string, at::Tensor> wanted(state.begin(), state.end());

  // The prefix with most matches; possible_prefixes gives the preferred ones first.
  LoadReport report;
  report.prefix = options.prefix;
  if (options.prefix.empty()) {
    std::size_t best = 0;
    for (const auto& prefix : possible_prefixes(tensors)) {
      const auto matches =
          static_cast<std::size_t>(std::count_if(tensors.begin(), tensors.end(), [&](const auto& item) {
            if (!item.first.starts_with(prefix)) return false;
            const auto found = wanted.find(item.first.substr(prefix.size()));
            return found != wanted.end() && !is_counter(found->first) && fits(item.second, found->second);
          }));
      if (matches > best) {
        best = matches;
        report.prefix = prefix;
      }
    }
  }

  // An unexpected tensor inside one of the module's own children (layer1.0.se.fc.weight, the bias of a convolution) shows that the weights
  // are of another network; one outside of them (heads, projectors) does not. `classifier` of AlexNet and VGG-16 is an exception, because
  // its last layer is a head.
  std::set<std::string> parts;
  for (const auto& [name, tensor] : state) parts.insert(name.substr(0, name.find('.')));
  parts.erase("classifier");
  std::string inside;  // the first such name

  // Sort the given tensors: those that the module has, classifier weights (ignored), and others (unexpected).
  std::unordered_map<std::string, at::Tensor> given;
  for (const auto& [name, tensor] : tensors) {
    const auto stripped = name.starts_with(report.prefix) ? name.substr(report.prefix.size()) : std::string();
    if (wanted.count(stripped)) {
      given.emplace(stripped, tensor);
    } else {
      (stripped.starts_with("fc.") ? report.ignored : report.unexpected).push_back(name);
      if (inside.empty() && parts.contains(stripped.substr(0, stripped.find('.')))) inside = name;
    }
  }
  // Sort the module's tensors: missing, matched, or of another shape.
  for (const auto& [name, target] : state) {
    const auto found = given.find(name);
    if (found == given.end()) {
      report.missing.push_back(name);
    } else if (fits(found->second, target)) {
      report.matched.push_back(name);
    } else {
      report.mismatched.push_back(concat(name, ": ", shape_text(found->second), " ", found->second.scalar_type(),
                                         " given, ", shape_text(target), " ", target.scalar_type(), " wanted"));
    }
  }

  // All errors come before the first write: nothing matches, the module is not filled, another network, values that are not finite.
  const std::string source = options.source.empty() ? "" : options.source + ": ";
  const bool nothing = std::all_of(report.matched.begin(), report.matched.end(), is_counter);
  if (!options.strict && nothing && !state.empty()) {
    throw UsageError(
        source, "no tensor fits: the file has ",
        tensors.empty() ? "none" : "'" + tensors.front().first + "' and others", ", the model wants '",
        state.front().first, "' (", shape_text(state.front().second),
        ") and others; is it the right file, architecture and width? Prefixes of names that are known are ",
        known_prefixes(), " in any combination; rename others");
  }
  const bool filled = report.complete() || options.partial;
  if (options.strict ? !(report.missing.empty() && report.mismatched.empty() && report.unexpected.empty()) : !filled) {
    const auto& first = !report.mismatched.empty() ? report.mismatched
                        : !report.missing.empty()  ? report.missing
                                                   : report.unexpected;
    // Name a tensor that is no counter, if there is one.
    const auto named = std::find_if_not(first.begin(), first.end(), is_counter);
    throw MismatchError(source, "the weights do not fill ", options.model, ": ", report.summary(),
                        "; first: ", named == first.end() ? first.front() : *named);
  }
  if (!inside.empty() && !options.strict && !options.partial)
    throw MismatchError(source, "the weights are of another network: ", options.model, " has no '", inside,
                        "'; give weights of that one, or start from the part that fits by --init-partial");
  NamedTensors taken;
  for (const auto& name : report.matched) taken.emplace_back(name, given.at(name));
  if (const auto broken = nonfinite_tensors(taken); !broken.empty()) {
    const auto text = concat(options.source.empty() ? "the weights" : "the weights of " + options.source,
                             " are not finite: '", broken.front(), "'",
                             broken.size() == 1 ? " holds" : concat(" and ", broken.size() - 1, " other tensors hold"),
                             " NaN or infinity, as a run that diverged leaves them; take others");
    if (options.strict) throw MismatchError(text);
    throw UsageError(text);
  }

  const torch::NoGradGuard no_grad;
  for (const auto& name : report.matched) wanted.at(name).copy_(given.at(name));
  return report;
}

std::string model_name(const EncoderOptions& options) {
  return concat("a ", options.arch, " of width ", options.width, " (", options.stem, " stem)");
}

std::string known_prefixes() { return joined({kWrappers.begin(), kWrappers.end()}, " "); }

std::vector<std::string> nonfinite_tensors(const NamedTensors& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors)
    if (tensor.is_floating_point() && !tensor.isfinite().all().item<bool>()) names.push_back(name);
  return names;
}

std::optional<EncoderOptions> infer_encoder(const NamedTensors& tensors) {
  for (const auto& prefix : possible_prefixes(tensors)) {
    TensorShapes shapes;
    for (const auto& [name, tensor] : tensors)
      if (name.starts_with(prefix)) shapes.emplace(name.substr(prefix.size()), tensor.sizes().vec());
    for (const auto& encoder : encoders())
      // The first architecture that accepts these shapes, under the shortest prefix.
      if (encoder.infer)
        if (auto options = encoder.infer(shapes)) return options;
  }
  return std::nullopt;
}

namespace {

// Converts a pickle: follows the nested dictionaries in which frameworks store weights, and keeps tensors only. Tested with checkpoints of
// the frameworks listed above.
constexpr const char* kConvert =
    "python3 -c \"import sys,argparse,torch;from safetensors.torch import save_file;"
    "torch.serialization.add_safe_globals([argparse.Namespace]);d=torch.load(sys.argv[1],map_location='cpu');"
    "K='state_dict classy_state_dict base_model model trunk teacher student module'.split();"
    "[d:=d[k] for _ in K for k in K if isinstance(d.get(k),dict)];"
    "save_file({k:v.clone().contiguous() for k,v in d.items() if torch.is_tensor(v)},'weights.safetensors')\" ";

/// `text` quoted as one word of a POSIX shell.
std::string shell_word(const std::string& text) {
  const auto plain = [](unsigned char c) {
    return std::isalnum(c) || std::string_view("/._-+=:@%,").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (!text.empty() && text[0] != '-' && std::ranges::all_of(text, plain)) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? "'\\''" : std::string(1, c);
  return word + "'";
}

bool is_pickle(const std::string& path) {
  // open_file opens regular files only; reading a pipe could block forever.
  const auto file = data::open_file(AT_FDCWD, path.c_str(), path);
  char magic[9] = {};
  const auto count = ::pread(file.fd.get(), magic, sizeof magic, 0);
  const std::string_view start(magic, static_cast<std::size_t>(std::max<ssize_t>(0, count)));
  // A safetensors file with any name: a header length below 4 GB, then a brace. Check it first, because the length may look like the magic
  // bytes of a pickle.
  if (start.size() == 9 && start.substr(4, 4) == std::string_view("\0\0\0\0", 4) && start[8] == '{') return false;
  if (start.starts_with("PK\3\4") || (start.size() > 1 && start[0] == '\x80' && start[1] >= 2 && start[1] <= 5))
    return true;
  // Other kinds of pickles are recognized by the file's extension.
  auto extension = std::filesystem::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  const std::array<std::string, 6> pickles{".pth", ".pt", ".ckpt", ".pkl", ".bin", ".tar"};
  return std::find(pickles.begin(), pickles.end(), extension) != pickles.end();
}

}  // namespace

TensorFile read_weights(const std::string& path, bool data) {
  return as_usage_error("", "", [&] {
    if (is_pickle(path))
      throw UsageError(path,
                       " is a PyTorch pickle, which cannot be read yet; convert it where torch and safetensors are "
                       "installed: ",
                       kConvert, shell_word(path));
    auto file = data ? read_safetensors(path) : read_safetensors_header(path);
    file.tensors = with_torchvision_names(std::move(file.tensors));
    return file;
  });
}

std::optional<EncoderOptions> read_encoder_options(const std::string& path) {
  const auto file = read_weights(path, /*data=*/false);
  auto options = infer_encoder(file.tensors);
  if (options) check_metadata(file.metadata, *options, path);
  return options;
}

void write_encoder(const std::string& path, const Encoder& encoder, const EncoderOptions& options,
                   const std::map<std::string, std::string>& metadata) {
  TensorFile file{state_of(encoder), metadata};
  file.metadata["format"] = "pt";
  file.metadata["arch"] = options.arch;
  file.metadata["width"] = std::to_string(options.width);
  file.metadata["stem"] = options.stem;
  file.metadata["in_channels"] = std::to_string(options.in_channels);
  write_safetensors(path, file);
}

LoadedEncoder read_encoder(const std::string& path, const std::optional<EncoderOptions>& options) {
  auto file = read_weights(path);
  LoadedEncoder loaded;
  if (options) {
    loaded.options = *options;
  } else {
    const auto inferred = infer_encoder(file.tensors);
    if (!inferred) {
      throw UsageError(
          path,
          ": its tensors are not those of a ResNet with torchvision's names, nor of DeepCluster's AlexNet or VGG-16 "
          "(with any combination of the prefixes ",
          known_prefixes(), "); rename them, or give the architecture with --encoder.arch");
    }
    check_metadata(file.metadata, *inferred, path);
    loaded.options = *inferred;
  }
  loaded.encoder = make_encoder(loaded.options);
  loaded.report = load_state(*loaded.encoder, file.tensors, {.source = path, .model = model_name(loaded.options)});
  loaded.metadata = std::move(file.metadata);
  return loaded;
}

}  // namespace unlabel::ssl
