#pragma once

#include <unlabel/augment/json_text.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace unlabel {

/// The one table that binds an options struct to JSON and to the command line.
///
/// Every options struct has a free function `OptionTable table(Options&)` that lists its fields once:
///
///     OptionTable table(SwavOptions& o) {
///       OptionTable t{{"temperature", o.temperature, "softmax temperature of the student (paper: 0.1)"},
///                     {"queue_length", o.queue_length, "embeddings kept of past batches, over the whole world; 0: no queue"}};
///       t.section("sinkhorn", table(o.sinkhorn));
///       return t;
///     }
///
/// The table refers to the struct it was made from, which must outlive it. Values are read and written through JSON, so
/// a recipe file, `--section.key value` and the resolved `config.json` share one set of rules. Supported field types:
/// bool, int, int64_t, uint64_t, double, std::string, std::vector of those, and std::optional of those (null when
/// unset).
class OptionTable {
 public:
  struct Field {
    /// `value` must outlive the field.
    template <class T>
    Field(std::string name, T& value, std::string help);

    std::string name;  ///< dotted from the root of this table: "sinkhorn.epsilon"
    std::string help;  ///< one line
    std::string type;  ///< for help texts: "number", "integer", "text", "yes/no", "list of numbers" ...
    detail::OptionKind kind = detail::OptionKind::kOther;
    bool default_shown = true;  ///< false: without the option another value holds than the field's, which `help` tells
    std::function<nlohmann::json()> get;
    std::function<bool(const nlohmann::json&)> accepts;
    std::function<void(const nlohmann::json&)> assign;  ///< of what it accepts

    /// Throws UsageError that names the field and its type, unless it accepts the value.
    void require(const nlohmann::json& value) const;
    /// The same, and assigns it.
    void set(const nlohmann::json& value) const;
  };

  OptionTable() = default;
  OptionTable(std::initializer_list<Field> fields) : fields_(fields) {}

  template <class T>
  void add(std::string name, T& value, std::string help) {
    fields_.emplace_back(std::move(name), value, std::move(help));
  }

  /// Adds all fields of another table below `name.`.
  void section(const std::string& name, OptionTable table);

  /// Adds all fields of another table beside these.
  void append(OptionTable table);

  const std::vector<Field>& fields() const { return fields_; }
  std::vector<Field>& fields() { return fields_; }

  /// The resolved values as nested objects.
  nlohmann::json to_json() const;

  /// What `json` (nested objects or dotted keys) sets, as one flat object of the fields' dotted names; changes no field.
  /// Throws UsageError for an unknown key, naming the nearest known one, for a field that is given twice, and for a value of
  /// the wrong type. `where` begins the message: "recipe.json".
  nlohmann::json flatten(const nlohmann::json& json, const std::string& where) const;

  /// Sets the fields that `json` names, leaving the others as they are. Throws as flatten() does, and then changes no field.
  void from_json(const nlohmann::json& json, const std::string& where);

  /// The value that a command line's text has for a field: `true`, `0.5`, `[1,2]`, `1,2`, `null` or plain text, by the
  /// field's type. Throws UsageError for an unknown field and for a text that is no such value.
  nlohmann::json parse_text(const std::string& name, const std::string& text) const;

  /// The field of that name, or null where there is none; valid until the table changes.
  const Field* find(const std::string& name) const;

 private:
  std::vector<Field> fields_;
};

/// `table` without the fields of these names.
OptionTable without(OptionTable table, const std::vector<std::string>& names);

/// The candidate with the smallest edit distance to `word`, or an empty string when none is near enough to be meant, as for a word of more
/// than 100 letters.
std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates);

/// The words, with `between` in between.
std::string joined(const std::vector<std::string>& words, std::string_view between);

/// " (did you mean 'x'?)", or an empty string.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace unlabel

#include <unlabel/augment/options_inl.h>
