#include <unlabel/augment/error.h>
#include <unlabel/data/file_list.h>
#include <unlabel/launch/distributed/agreement.h>
#include <unlabel/launch/pretrain/run_record.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace unlabel::launch {

namespace {

/// The settings that differ, except those that may change when a run resumes, as a list for a message.
std::string differences(const nlohmann::json& before, PretrainOptions now) {
  const auto fields = table(now);
  nlohmann::json saved;
  try {
    saved = fields.flatten(before, "the checkpoint");
  } catch (const UsageError& error) {
    return error.what();
  }
  std::string text;
  for (const auto& field : fields.fields()) {
    const auto new_value = field.get(), old_value = saved.value(field.name, new_value);
    if (is_runtime_option(field.name) || old_value == new_value) continue;
    text += concat(text.empty() ? "" : ", ", field.name, " was ", old_value.dump(), " and is ", new_value.dump());
  }
  return text;
}

/// 16 hexadecimal digits: some JSON readers keep only 53 bits of a number.
std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

nlohmann::json RunRecord::to_json(nlohmann::json monitor) const {
  nlohmann::json json{
      {"options", config_json(options)},
      {"views", transform.to_json()},
      {"data", {{"description", dataset.description()}, {"images", dataset.size()}, {"fingerprint", hex(fingerprint)}}},
      {"health", std::move(monitor)},
      {"arithmetic", arithmetic},
      {"world_size", world_size}};
  if (frozen_checksum != 0) json["frozen"] = hex(frozen_checksum);
  return json;
}

void RunRecord::require_same(const nlohmann::json& training, const std::string& folder,
                             const std::string& file_list) const {
  const auto& data = training.at("data");
  // Older versions computed the fingerprint from names and sizes only, without a checksum of the contents; such runs can still resume.
  const auto& saved = data.at("fingerprint");
  if (data.at("images") != dataset.size() ||
      (saved != hex(fingerprint) && saved != hex(dataset.fingerprint_of_names()))) {
    std::string changes;
    try {
      changes = data::changes_since(file_list, dataset);
    } catch (const Error&) {  // no readable list: describe the data set as a whole
      changes = concat("it was ", data.at("description").get<std::string>());
    }
    throw MismatchError("the data has changed since the checkpoint in ", folder, ": ", changes, ". It is now ",
                        dataset.description(), "; use the same data, or start a new run with another --out and --init ",
                        folder);
  }
  if (const auto text = differences(training.at("options"), options); !text.empty())
    throw MismatchError("the run in ", options.out, " has other settings: ", text,
                        "; use those, or start a new run with another --out and --init ", options.out);
  // The same options may mean different views in another version of the program.
  if (const auto views = training.value("views", nlohmann::json()), now = transform.to_json();
      !views.is_null() && views != now)
    throw MismatchError("the run in ", options.out,
                        " was started with other views, by another version of the program: ", differences(now, views),
                        "; resume it with that version, or start a new run with another --out and --init ",
                        options.out);
  if (const auto frozen = training.value("frozen", hex(0)); frozen != hex(frozen_checksum))
    throw MismatchError("the run in ", options.out,
                        " was started with other frozen weights (a teacher's); use those, or another --out");
}

std::map<std::string, std::string> encoder_metadata(const PretrainOptions& options) {
  std::map<std::string, std::string> metadata{{"method", options.method}};
  // A method that this program does not have is assumed to learn from images.
  const auto method = std::ranges::find(ssl::methods(), options.method, &ssl::MethodSpec::name);
  if (method != ssl::methods().end() && method->transform) return metadata;
  const auto views = make_views(options);
  metadata["size"] = std::to_string(views.shape(0).width);
  auto decode = options.decode;
  metadata["decode"] = augment::table(decode).to_json().dump();
  if (const auto* normalize = augment::find_normalize(views.pipeline(0))) {
    metadata["mean"] = nlohmann::json(normalize->mean).dump();
    metadata["std"] = nlohmann::json(normalize->std).dump();
  }
  return metadata;
}

}  // namespace unlabel::launch
