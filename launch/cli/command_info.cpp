#include <unlabel/augment/error.h>
#include <unlabel/data/io/files.h>
#include <unlabel/launch/checkpoint/checkpoint.h>
#include <unlabel/launch/cli/commands.h>
#include <unlabel/launch/command_line.h>
#include <unlabel/launch/run/command_output.h>
#include <unlabel/launch/run/run_folder.h>
#include <unlabel/ssl/weights/safetensors.h>
#include <unlabel/ssl/weights/weights.h>

#include <torch/types.h>

#include <filesystem>

namespace unlabel::launch {

namespace fs = std::filesystem;

namespace {

nlohmann::json weights_info(const std::string& path, bool list, Warnings& warnings) {
  const auto file = ssl::read_safetensors(path);
  if (const auto broken = ssl::nonfinite_tensors(file.tensors); !broken.empty())
    warnings.add(concat("the weights of ", path, " are not finite: '", broken.front(), "'",
                        broken.size() == 1 ? " holds" : concat(" and ", broken.size() - 1, " other tensors hold"),
                        " NaN or infinity"));
  nlohmann::json info = {{"file", path}, {"metadata", file.metadata}, {"tensors", file.tensors.size()}};
  std::int64_t numbers = 0;
  for (const auto& [name, tensor] : file.tensors) numbers += tensor.numel();
  info["numbers"] = numbers;
  if (list)
    for (const auto& [name, tensor] : file.tensors)
      info["list"].push_back(
          {{"name", name}, {"shape", tensor.sizes().vec()}, {"type", c10::toString(tensor.scalar_type())}});
  return info;
}

}  // namespace

int command_info(const std::vector<std::string>& arguments) {
  std::string path, json;
  bool list = false;
  OptionTable fields;
  fields.add("checkpoint", path, "a run folder, one of its checkpoints (step-*), or a file of weights (.safetensors)");
  fields.add("tensors", list, "list every tensor");
  fields.add("json", json, "write the contents as JSON to this file; -: to stdout");
  const CommandSpec spec{"unlabel info RUN|FILE [options]",
                         "Shows the contents of a run, a checkpoint or a file of weights.",
                         {"checkpoint"},
                         ""};
  const auto line = parse_command_line(arguments, fields, spec);
  if (print_help(line, fields, spec)) return 0;
  line.apply(fields);
  if (path.empty()) throw UsageError("no run or file given: unlabel info RUN|FILE");
  require_output("--json", json, {{"RUN|FILE", path}});
  std::error_code error;
  if (!data::exists(path)) throw UsageError(path, ": there is no such file or folder");

  Warnings warnings;
  nlohmann::json info;
  if (!fs::is_directory(path, error)) {
    info = weights_info(path, list, warnings);
  } else if (is_checkpoint(path)) {
    info["checkpoint"] = path;
    info["training"] = read_run_json(path + "/training.json");
    info["state"] = weights_info(path + "/state.safetensors", list, warnings);
  } else {
    info["run"] = path;
    const std::string config = path + "/config.json", encoder = path + "/encoder.safetensors";
    if (!data::exists(config))
      throw UsageError(
          path,
          " is not a run folder: it has no config.json; name a run (--out of pretrain), one of its checkpoints or a "
          ".safetensors file");
    info["config"] = read_run_json(config);
    if (const auto newest = newest_checkpoint(path + "/checkpoints")) info["newest_checkpoint"] = *newest;
    info["finished"] = data::exists(encoder);
    if (info["finished"].get<bool>()) info["encoder"] = weights_info(encoder, list, warnings);
  }
  const auto sentences = warnings.sentences();
  info["warnings"] = sentences;
  auto text = json_text(info);
  text.pop_back();  // its newline
  if (json != "-") print_line(json, text);
  write_result(json, info, sentences);
  return 0;
}

}  // namespace unlabel::launch
