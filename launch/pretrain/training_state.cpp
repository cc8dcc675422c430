#include <unlabel/augment/error.h>
#include <unlabel/data/file_list.h>
#include <unlabel/data/io/files.h>
#include <unlabel/launch/checkpoint/checkpoint_files.h>
#include <unlabel/launch/distributed/agreement.h>
#include <unlabel/launch/pretrain/training_state.h>
#include <unlabel/ssl/weights/safetensors.h>
#include <unlabel/ssl/weights/weights.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace unlabel::launch {

namespace {

std::string differences(const nlohmann::json& before, const PretrainOptions& now) {
  PretrainOptions then = now;
  auto then_table = table(then);
  try {
    then_table.from_json(before, "the checkpoint");
  } catch (const UsageError& error) {
    return error.what();
  }
  PretrainOptions copy = now;
  const auto now_table = table(copy);
  std::string text;
  for (const auto& field : now_table.fields()) {
    const auto old_value = then_table.find(field.name)->get(), new_value = field.get();
    if (is_runtime_option(field.name) || old_value == new_value) continue;
    text += concat(text.empty() ? "" : ", ", field.name, " was ", old_value.dump(), " and is ", new_value.dump());
  }
  return text;
}

std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

ssl::NamedTensors below(const ssl::NamedTensors& tensors, const std::string& prefix) {
  ssl::NamedTensors found;
  for (const auto& [name, tensor] : tensors)
    if (name.starts_with(prefix)) found.emplace_back(name.substr(prefix.size()), tensor);
  return found;
}

}  // namespace

std::int64_t TrainingState::bytes() const {
  std::int64_t sum = (1 << 20) + method.per_sample_state_bytes();
  for (const auto& item : snapshot(0, {}).tensors) sum += static_cast<std::int64_t>(item.second.nbytes());
  return sum;
}

Checkpoint TrainingState::snapshot(std::int64_t iteration, const ssl::NamedTensors& per_sample_state,
                                   nlohmann::json health) const {
  Checkpoint checkpoint;
  checkpoint.iteration = iteration;
  const auto append = [&](const std::string& prefix, const ssl::NamedTensors& tensors) {
    for (const auto& [name, tensor] : tensors) checkpoint.tensors.emplace_back(prefix + name, tensor.detach());
  };
  append("method.", ssl::state_of(method));
  append("optimizer.", optimizer.state());
  append("scaler.", scaler.state());
  append("data.", per_sample_state);
  checkpoint.training = {
      {"options", config_json(options)},
      {"views", make_views(options).to_json()},
      {"data", {{"description", dataset.description()}, {"images", dataset.size()}, {"fingerprint", hex(fingerprint)}}},
      {"health", std::move(health)},
      {"arithmetic", arithmetic},
      {"world_size", world_size}};
  return checkpoint;
}

bool TrainingState::finite() const {
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> numbers;
  for (const auto& [name, tensor] : ssl::state_of(method))
    if (tensor.is_floating_point()) numbers.push_back(tensor);
  if (numbers.empty()) return true;
  return at::stack(at::_foreach_norm(numbers, INFINITY)).to(at::kDouble).isfinite().all().item<bool>();
}

TrainingState::ResumeInfo TrainingState::resume(const std::string& folder, const std::string& file_list) {
  ResumeInfo resumed;
  if (list_checkpoints(folder).empty()) return resumed;
  const auto checkpoint = read_checkpoint(folder, &resumed.skipped);
  const auto& data = checkpoint.training.at("data");
  // Runs of before the checksum of contents was part of the fingerprint go on by names and sizes, as they always did.
  const auto& saved = data.at("fingerprint");
  if (data.at("images") != dataset.size() ||
      (saved != hex(fingerprint) && saved != hex(dataset.fingerprint_of_names()))) {
    std::string changes;
    try {
      changes = data::changes_since(file_list, dataset);
    } catch (const Error&) {  // without a list that can be read
      changes = concat("it was ", data.at("description").get<std::string>());
    }
    throw MismatchError("the data has changed since the checkpoint in ", folder, ": ", changes, ". It is now ",
                        dataset.description(), "; use the same data, or another --out with --init ", folder,
                        " to begin from what was learned");
  }
  if (const auto text = differences(checkpoint.training.at("options"), options); !text.empty())
    throw MismatchError("the run in ", options.out, " has other settings: ", text,
                        "; use those, or another --out with --init ", options.out, " to begin from what was learned");
  // Equal options may mean other views to another program.
  if (const auto views = checkpoint.training.value("views", nlohmann::json()), now = make_views(options).to_json();
      !views.is_null() && views != now)
    throw MismatchError("the run in ", options.out,
                        " began with other views, of a program of another version: ", differences(now, views),
                        "; go on with that program, or another --out with --init ", options.out,
                        " to begin from what was learned");
  ssl::load_state(method, below(checkpoint.tensors, "method."), {.strict = true, .source = folder});
  optimizer.load_state(below(checkpoint.tensors, "optimizer."));
  scaler.load_state(below(checkpoint.tensors, "scaler."));
  method.load_per_sample_state(below(checkpoint.tensors, "data."));
  resumed.iteration = checkpoint.iteration;
  resumed.health = checkpoint.training.value("health", nlohmann::json());
  resumed.arithmetic = checkpoint.training.value("arithmetic", nlohmann::json::array());
  resumed.world_size = checkpoint.training.value("world_size", world_size);
  return resumed;
}

std::string TrainingState::move_other_encoder_aside(const std::string& path) const {
  if (!data::exists(path)) return {};
  const auto same = [&] {
    std::map<std::string, at::Tensor> there;
    const auto broken = damage([&] {
      const auto file = ssl::read_safetensors(path);
      there.insert(file.tensors.begin(), file.tensors.end());
    });
    if (!broken.empty()) return false;
    const auto mine = ssl::state_of(method.encoder());
    return there.size() == mine.size() && std::ranges::all_of(mine, [&](const auto& item) {
             const auto found = there.find(item.first);
             return found != there.end() && found->second.equal(item.second.detach().cpu());
           });
  };
  if (same()) return {};
  const auto folder = std::filesystem::path(path).parent_path();
  std::filesystem::path aside;
  for (int number = 1; aside.empty() || data::exists(aside.string()); ++number)
    aside = folder / concat("encoder-", number, ".safetensors");
  std::filesystem::rename(path, aside);
  return aside.string();
}

std::map<std::string, std::string> encoder_metadata(const PretrainOptions& options) {
  const auto views = make_views(options);
  std::map<std::string, std::string> metadata{{"method", options.method},
                                              {"size", std::to_string(views.shape(0).width)}};
  auto decode = options.decode;
  metadata["decode"] = augment::table(decode).to_json().dump();
  if (const auto* normalize = augment::find_normalize(views.pipeline(0))) {
    metadata["mean"] = nlohmann::json(normalize->mean).dump();
    metadata["std"] = nlohmann::json(normalize->std).dump();
  }
  return metadata;
}

}  // namespace unlabel::launch
