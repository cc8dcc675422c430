#include <unlabel/augment/error.h>
#include <unlabel/augment/options.h>
#include <unlabel/ssl/planning/recipe.h>

#include <utility>

namespace unlabel::ssl {

/// Generated from ssl/planning/recipes/*.json: pairs of name and text, in order of names, ended by a pair of null pointers.
extern const std::pair<const char*, const char*> kRecipes[];

const std::vector<std::string>& recipe_names() {
  static const auto names = [] {
    std::vector<std::string> list;
    for (const auto* recipe = kRecipes; recipe->first; ++recipe) list.emplace_back(recipe->first);
    return list;
  }();
  return names;
}

nlohmann::json find_recipe(const std::string& name) {
  // A file of the user.
  if (name.ends_with(".json") || name.find('/') != std::string::npos) {
    auto recipe = read_json_file(name);
    if (!recipe.is_object()) throw UsageError(name, ": a recipe is a JSON object of sections, {\"method\": ...}");
    return recipe;
  }
  std::string all;
  for (const auto* recipe = kRecipes; recipe->first; ++recipe) {
    if (name == recipe->first) return parse_json(recipe->second, name);
    all += std::string(all.empty() ? "" : ", ") + recipe->first;
  }
  throw UsageError("there is no recipe '", name, "'", did_you_mean(name, recipe_names()), "; there are: ", all,
                   "; or give a file that ends in .json");
}

}  // namespace unlabel::ssl
