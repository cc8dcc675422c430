#include <unlabel/augment/error.h>
#include <unlabel/launch/explain.h>
#include <unlabel/ssl/recipe.h>

#include <algorithm>
#include <array>
#include <vector>

namespace unlabel::launch {

namespace {

using nlohmann::json;
using Row = std::array<std::string, 4>;

json::json_pointer place_of(std::string setting) {
  std::ranges::replace(setting, '.', '/');
  return json::json_pointer("/" + setting);
}

/// As one would write it on a command line.
std::string shown(const json& value) {
  if (value.is_null()) return "-";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string in_columns(const std::vector<Row>& rows) {
  std::array<std::size_t, 4> widths{};
  for (const auto& row : rows)
    for (std::size_t c = 0; c + 1 < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size() + 2);
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c)
      line += row[c] + std::string(c + 1 < row.size() ? widths[c] - row[c].size() : 0, ' ');
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

}  // namespace

std::string explain(const ResolvedOptions& resolved, const CommandLine& line) {
  auto here = resolved.options;
  PretrainOptions paper;
  auto fields = table(here), paper_fields = table(paper);
  const auto name = ssl::paper_recipe(here.method);
  json published = json::object(), used = json::object();
  if (!name.empty()) {
    published = ssl::find_recipe(name);
    for (const char* about : {"method", "description", "source"}) published.erase(about);
    paper_fields.from_json(published, name);
  }
  if (!here.recipe.empty()) used = ssl::find_recipe(here.recipe);

  std::vector<Row> rows{{"setting", "here", name.empty() ? "" : "paper (" + name + ")", "why"}};
  for (const auto& field : fields.fields()) {
    if (field.name == "method" || field.name == "data" || field.name == "out" || field.name == "recipe") continue;
    const auto choice = std::ranges::find(resolved.choices, field.name, &ssl::Choice::setting);
    const bool planned = choice != resolved.choices.end(), given = line.has(field.name);
    const bool from_recipe = used.contains(place_of(field.name)), in_paper = published.contains(place_of(field.name));
    if (!planned && !given && !from_recipe && !in_paper) continue;
    const auto value = shown(field.get()), theirs = name.empty() ? "" : shown(paper_fields.find(field.name)->get());
    rows.push_back({"--" + with_dashes(field.name), value, theirs,
                    given             ? "given"
                    : planned         ? choice->reason
                    : from_recipe     ? "of the recipe " + here.recipe
                    : value == theirs ? "the paper's"
                                      : "the default; nothing here asks for another"});
  }
  std::string text = concat(here.method, " on ", resolved.dataset->description(), "\n\n", in_columns(rows));
  for (const auto& warning : resolved.warnings) text += "\nwarning: " + warning;
  if (!resolved.warnings.empty()) text += "\n";
  return text + "\nThe number of processes changes none of this: --batch-size counts the images of all of them.\n";
}

}  // namespace unlabel::launch
