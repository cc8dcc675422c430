#include <unlabel/augment/error.h>
#include <unlabel/launch/checkpoint/checkpoint_files.h>
#include <unlabel/launch/pretrain/step_journal.h>
#include <unlabel/launch/run/command_output.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

namespace unlabel::launch {

namespace {

// Collapse is looked for ten times in each twenty-fifth of a run, every ten steps at least, and judged from the first of them on, so that
// what is bad is told within a tenth of the run. No network has learned anything in fewer than 50 steps, so that a run of less than
// about 540 steps is told later than that; and 5,000 are enough.
std::int64_t watch_every(std::int64_t total) { return std::clamp<std::int64_t>(total / 250, 1, 10); }
std::int64_t judged_from(std::int64_t total) { return std::clamp<std::int64_t>(total / 25, 50, 5000); }

}  // namespace

StepJournal::StepJournal(Setting setting)
    : setting_(std::move(setting)),
      nonfinite_(setting_.options.health.nonfinite_budget),
      broken_(setting_.images, setting_.options.health.broken_budget),
      watch_every_(watch_every(setting_.total_iterations)),
      collapse_(std::move(setting_.signs), judged_from(setting_.total_iterations)) {}

nlohmann::json StepJournal::state() const {
  return {{"nonfinite", nonfinite_.state()},
          {"broken", broken_.state()},
          {"collapse", collapse_.state()},
          {"updates", updates_}};
}

void StepJournal::load_state(const nlohmann::json& state) {
  updates_ = 1;  // unless it says otherwise: runs of before did not count them, and have made some
  if (!state.is_object()) return;
  nonfinite_.load_state(state.at("nonfinite"));
  broken_.load_state(state.at("broken"));
  if (state.contains("collapse")) collapse_.load_state(state.at("collapse"));
  updates_ = state.value("updates", updates_);
}

std::string StepJournal::kept() const {
  const auto folder = setting_.options.out + "/checkpoints";
  std::optional<std::int64_t> newest;
  try {
    newest = newest_checkpoint(folder);
  } catch (const Error&) {  // what is told is another mistake
  }
  return newest ? concat("; checkpoints up to then are in ", folder) : std::string();
}

void StepJournal::add(MadeStep made) {
  settle();
  pending_.emplace(std::move(made));
}

void StepJournal::settle() {
  if (!pending_) return;
  const auto made = *std::exchange(pending_, std::nullopt);
  const StepHealth health = made.exchange.read();
  loss_ = health.loss;
  stop_ = stop_ || health.stop;
  save_due_ = save_due_ || health.save;
  updates_ += health.finite;
  write_line(made, health);
  // A gradient that overflows under loss scaling is no fault while the scale is being found.
  const auto scale = std::ranges::find(health.diagnostics, "loss_scale", &std::pair<std::string, double>::first);
  const bool overflow = scale != health.diagnostics.end() && scale->second >= 1 && std::isfinite(health.loss);
  if (!health.finite && !overflow) take_nonfinite(made, health.loss);
  if (health.replaced > 0) take_replacements(made);
}

void StepJournal::write_line(const MadeStep& made, const StepHealth& health) {
  const auto iteration = made.step.iteration;
  auto line = made.line;
  line.update({{"step", iteration}, {"epoch", made.step.epoch}, {"loss", health.loss}, {"lr", made.lr}});
  for (const auto& [name, value] : made.epoch_news) line[name] = value;
  for (const auto& [name, value] : health.diagnostics) line[name] = value;
  if (!health.finite) line["left_out"] = true;
  setting_.progress.update(iteration + 1, health.loss, made.line.value("images_per_second", 0.0),
                           made.line.value("data_wait", 0.0));

  if (health.finite && watches(iteration)) {
    std::map<std::string, double> values(health.diagnostics.begin(), health.diagnostics.end());
    values["loss"] = health.loss;
    for (const auto& warning : collapse_.see(iteration, values)) {
      setting_.progress.warn(warning);
      line["warnings"].push_back(warning);
    }
  }
  if (const auto bad = collapse_.bad(); !bad.empty()) line["collapse"] = bad;
  if (setting_.log != nullptr && !setting_.log->step(line) && !std::exchange(log_failed_, true))
    setting_.progress.warn("metrics.jsonl cannot be written (disk full?); training goes on");
}

void StepJournal::take_nonfinite(const MadeStep& made, double loss) {
  const auto& options = setting_.options;
  const auto iteration = made.step.iteration;
  nlohmann::json indices = nlohmann::json::array();
  for (const auto& text : ssl::gather_texts(setting_.group, nlohmann::json(made.indices).dump()))
    for (const auto& index : nlohmann::json::parse(text)) indices.push_back(index);
  if (setting_.log != nullptr)
    setting_.log->nonfinite({{"step", iteration}, {"epoch", made.step.epoch}, {"loss", loss}, {"indices", indices}});

  const bool within_budget = nonfinite_.take(iteration);
  if (nonfinite_.in_window() == 1 || !within_budget)
    setting_.progress.warn(concat("loss or gradients are not finite at step ", iteration,
                                  ": the update is left out; its images are in ", options.out, "/nonfinite.jsonl"));
  if (!within_budget)
    throw MismatchError(
        "loss or gradients were not finite in ", nonfinite_.in_window(), " of the last ", NonFiniteBudget::kWindow,
        " steps, up to step ", iteration, " (epoch ", made.step.epoch, ")", kept(),
        ". Start anew with a lower --optimizer.lr",
        options.precision == "bf16" || options.precision == "fp16" ? ", or with --precision float32" : "");
}

void StepJournal::take_replacements(const MadeStep& made) {
  const auto& options = setting_.options;
  for (const auto& object : gather_replacements(setting_.group, made.replacements, made.step.iteration)) {
    const auto name = printable(object.at("name").get<std::string>());
    const auto reason = printable(object.at("reason").get<std::string>());
    if (setting_.log != nullptr) setting_.log->replaced(object);
    if (replacements_++ == 0)
      setting_.progress.warn(concat(name, " cannot be read (", reason,
                                    "); another image takes its place. All such are in ", options.out,
                                    "/replaced.jsonl"));
    if (broken_.take(object.at("index").get<std::int64_t>())) continue;
    failure_ = [this, name, reason, &options] {
      return concat("too many broken images: ", broken_.count(), " of ", setting_.images, ", and ", broken_.most(),
                    " end a run (--health.broken-budget); the last is ", name, " (", reason, "), all are in ",
                    options.out, "/replaced.jsonl. A larger --health.broken-budget goes on", kept(),
                    ". Data in which they are mended or removed is another data set: start anew with it",
                    kept().empty() ? "" : concat(", --init ", options.out, " to begin from what was learned"));
    };
  }
}

}  // namespace unlabel::launch
