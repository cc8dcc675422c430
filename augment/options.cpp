#include <unlabel/augment/json_text.h>
#include <unlabel/augment/options.h>

#include <algorithm>
#include <numeric>

namespace unlabel {

namespace {

constexpr int kMaxDepth = 16;
constexpr std::size_t kLongestName = 100;

/// Edit distance with transpositions of neighbors (optimal string alignment).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  std::iota(above.begin(), above.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

/// Flattens nested objects into dotted keys. An empty object is kept as a value: its key may be a slip too.
void add_flat(const nlohmann::json& json, const std::string& prefix,
              std::vector<std::pair<std::string, nlohmann::json>>& out) {
  for (const auto& [key, value] : json.items()) {
    const std::string name = prefix.empty() ? key : prefix + "." + key;
    if (value.is_object() && !value.empty()) {
      add_flat(value, name, out);
    } else {
      out.emplace_back(name, value);
    }
  }
}

}  // namespace

void OptionTable::Field::require(const nlohmann::json& value) const {
  if (!accepts(value)) throw UsageError("'", name, "' takes ", type, ", not ", shortened(json_line(value)));
}

void OptionTable::Field::set(const nlohmann::json& value) const {
  require(value);
  assign(value);
}

std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  if (word.size() > kLongestName) return best;  // no name is as long, and distances cost the product of the lengths
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const auto& candidate : candidates) {
    std::size_t distance = edit_distance(word, candidate);
    // A bare last part of a dotted name is a common slip: "queue" for "swav.queue".
    const auto dot = candidate.rfind('.');
    if (dot != std::string::npos && word == std::string_view(candidate).substr(dot + 1)) distance = 1;
    // So is a prefix more or less: "HorizontalFlip" for "RandomHorizontalFlip".
    if (std::min(word.size(), candidate.size()) >= 6 && (candidate.ends_with(word) || word.ends_with(candidate)))
      distance = std::min<std::size_t>(distance, 2);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  std::string all;
  for (const auto& word : words) all.append(all.empty() ? "" : between).append(word);
  return all;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string nearest = nearest_name(word, candidates);
  return nearest.empty() ? std::string() : " (did you mean '" + nearest + "'?)";
}

void OptionTable::section(const std::string& name, OptionTable table) {
  for (auto& field : table.fields_) {
    field.name = name + "." + field.name;
    fields_.push_back(std::move(field));
  }
}

void OptionTable::append(OptionTable table) {
  for (auto& field : table.fields_) fields_.push_back(std::move(field));
}

const OptionTable::Field* OptionTable::find(const std::string& name) const {
  const auto found =
      std::find_if(fields_.begin(), fields_.end(), [&](const Field& field) { return field.name == name; });
  return found == fields_.end() ? nullptr : &*found;
}

nlohmann::json OptionTable::to_json() const {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& field : fields_) {
    nlohmann::json* place = &json;
    std::size_t begin = 0;
    for (std::size_t dot; (dot = field.name.find('.', begin)) != std::string::npos; begin = dot + 1)
      place = &(*place)[field.name.substr(begin, dot - begin)];
    (*place)[field.name.substr(begin)] = field.get();
  }
  return json;
}

nlohmann::json OptionTable::flatten(const nlohmann::json& json, const std::string& where) const {
  if (!json.is_object()) throw UsageError(where, ": expected an object of options");
  check_json_depth(json, kMaxDepth, where);
  std::vector<std::pair<std::string, nlohmann::json>> flat;
  add_flat(json, "", flat);
  std::erase_if(flat, [&](const auto& item) {  // a section of which nothing is set
    return item.second.is_object() &&
           std::ranges::any_of(fields_, [&](const Field& field) { return field.name.starts_with(item.first + "."); });
  });
  std::vector<std::string> names;
  for (const auto& field : fields_) names.push_back(field.name);
  auto settings = nlohmann::json::object();
  for (const auto& [name, value] : flat) {
    if (!find(name)) throw UsageError(where, ": unknown option '", shortened(name), "'", did_you_mean(name, names));
    // {"swav": {"queue": 1}, "swav.queue": 2} is one object without a key twice.
    if (!settings.emplace(name, value).second) throw UsageError(where, ": '", name, "' is given twice");
  }
  for (const auto& [name, value] : flat) {
    try {
      find(name)->require(value);
    } catch (const UsageError& error) {
      throw UsageError(where, ": ", error.what());
    }
  }
  return settings;
}

void OptionTable::from_json(const nlohmann::json& json, const std::string& where) {
  const auto settings = flatten(json, where);
  for (const auto& [name, value] : settings.items()) find(name)->assign(value);
}

nlohmann::json OptionTable::parse_text(const std::string& name, const std::string& text) const {
  const Field* field = find(name);
  if (!field) {
    std::vector<std::string> names;
    for (const auto& known : fields_) names.push_back(known.name);
    throw UsageError("unknown option '--", shortened(name), "'", did_you_mean(name, names));
  }
  using Kind = detail::OptionKind;
  if (field->kind == Kind::kText) return text;
  auto parsed = try_parse_json(text);
  if (field->kind == Kind::kYesNo && !parsed) {
    if (text == "yes" || text == "on") parsed = true;
    if (text == "no" || text == "off") parsed = false;
  }
  const bool array = parsed && parsed->is_array(), null = parsed && parsed->is_null();
  if (field->kind == Kind::kList && !array && !null) parsed = try_parse_json("[" + text + "]");
  if (field->kind == Kind::kTextList && !array) {
    parsed = nlohmann::json::array();
    std::istringstream items(text);
    for (std::string item; std::getline(items, item, ',');) parsed->push_back(item);
  }
  auto value = parsed.value_or(text);
  try {
    field->require(value);
    return value;
  } catch (const UsageError& error) {
    if (parsed) throw;
    // JSON wants a digit before the point, and a point.
    std::string meant = text;
    const bool list = field->kind == Kind::kList;
    if (const auto comma = meant.find(','); comma != std::string::npos && !list) meant[comma] = '.';
    for (std::size_t begin = 0; begin != std::string::npos; begin = meant.find(',', begin)) {  // of each number
      begin = meant.find_first_not_of(", ", begin);
      if (begin != std::string::npos && meant[begin] == '-') ++begin;
      if (begin < meant.size() && meant[begin] == '.') meant.insert(begin, "0");
    }
    const auto number = try_parse_json(list ? "[" + meant + "]" : meant);
    if (!number || !field->accepts(*number)) throw;
    throw UsageError(error.what(), "; write ", meant);
  }
}

OptionTable without(OptionTable table, const std::vector<std::string>& names) {
  std::erase_if(table.fields(),
                [&](const auto& field) { return std::find(names.begin(), names.end(), field.name) != names.end(); });
  return table;
}

}  // namespace unlabel
