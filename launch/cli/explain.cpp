#include <unlabel/augment/error.h>
#include <unlabel/launch/cli/explain.h>
#include <unlabel/launch/run/command_output.h>
#include <unlabel/ssl/planning/plan_builder.h>
#include <unlabel/ssl/planning/recipe.h>

#include <algorithm>
#include <array>
#include <vector>

namespace unlabel::launch {

namespace {

using nlohmann::json;
using Row = std::array<std::string, 5>;

/// As one would write it on a command line.
std::string shown(const json& value) {
  if (value.is_null()) return "(preset)";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string in_columns(const std::vector<Row>& rows) {
  std::array<std::size_t, std::tuple_size_v<Row>> widths{};
  for (const auto& row : rows)
    for (std::size_t c = 0; c + 1 < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size() + 2);
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c)
      line += row[c] + std::string(widths[c] - std::min(widths[c], row[c].size()), ' ');
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

}  // namespace

json explain(const ResolvedOptions& resolved) {
  auto here = resolved.options;
  PretrainOptions paper;
  auto fields = table(here), paper_fields = table(paper);
  const auto name = ssl::find_method(here.method).plan.paper;
  json published = json::object();
  if (!name.empty()) {
    published = ssl::find_recipe(name);
    for (const char* about : {"method", "description", "source"}) published.erase(about);
    published = paper_fields.flatten(published, name);
    paper_fields.from_json(published, name);
  }

  const auto& defaults = resolved.layers.front();
  json settings = json::array();
  for (const auto& field : fields.fields()) {
    if (field.name == "method" || field.name == "data" || field.name == "out" || field.name == "recipe") continue;
    const auto choice = std::ranges::find(resolved.choices, field.name, &ssl::PlannedSetting::setting);
    const bool planned = choice != resolved.choices.end();
    const auto value = field.get(), theirs = name.empty() ? json() : paper_fields.find(field.name)->get();
    const auto& layer = deciding_layer(resolved.layers, field.name).name;
    // A checkpoint has every setting.
    const bool chosen = layer == "checkpoint" ? value != defaults.values.at(field.name) : layer != defaults.name;
    if (!planned && !chosen && !published.contains(field.name)) continue;
    settings.push_back({{"setting", field.name},
                        {"here", value},
                        {"paper", theirs},
                        {"layer", layer},
                        {"why", planned                   ? choice->reason
                                : layer == "command line" ? "given"
                                : layer != defaults.name  ? "from the " + layer
                                : value == theirs         ? "the paper's"
                                : value.is_null()         ? "the preset's"
                                                          : "default"}});
  }
  return {{"method", here.method},
          {"data", resolved.dataset->description()},
          {"paper", name.empty() ? json() : json(name)},
          {"settings", settings},
          {"warnings", resolved.warnings}};
}

std::string explanation_text(const json& explained) {
  const bool paper = !explained["paper"].is_null();
  std::vector<Row> rows{
      {"setting", "here", paper ? concat("paper (", shown(explained["paper"]), ")") : "", "from", "why"}};
  for (const auto& item : explained["settings"]) {
    const std::string layer = item["layer"], why = item["why"];
    // Of the other layers `why` says no more than `from`.
    const bool reason = layer == "plan" || (layer == "default" && why != layer) || why.starts_with("auto: ");
    rows.push_back({"--" + with_dashes(item["setting"]), shown(item["here"]), paper ? shown(item["paper"]) : "", layer,
                    reason ? why : ""});
  }
  auto text = concat(shown(explained["method"]), " on ", printable(shown(explained["data"])), "\n\n", in_columns(rows));
  for (const auto& warning : explained["warnings"]) text += "\nwarning: " + printable(warning.get<std::string>());
  if (!explained["warnings"].empty()) text += "\n";
  return text + "\nThe number of processes changes none of this: --batch-size counts the images of all of them.";
}

}  // namespace unlabel::launch
