#include <unlabel/augment/error.h>
#include <unlabel/augment/json_text.h>
#include <unlabel/launch/checkpoint/checkpoint_files.h>
#include <unlabel/launch/pretrain/training_monitor.h>
#include <unlabel/launch/run/command_output.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace unlabel::launch {

namespace {

// Collapse is checked ten times in each 1/25 of a run, at least every ten steps. Warnings start after the first 1/25, so that a run which
// collapses at once gets its warning within a tenth of its length. The start is at step 50 at the earliest, because no network has learned
// anything before (runs of less than about 540 steps are therefore warned later), and at step 5,000 at the latest.
std::int64_t check_interval(std::int64_t total) { return std::clamp<std::int64_t>(total / 250, 1, 10); }
std::int64_t first_check(std::int64_t total) { return std::clamp<std::int64_t>(total / 25, 50, 5000); }

}  // namespace

TrainingMonitor::TrainingMonitor(Context context)
    : context_(std::move(context)),
      nonfinite_(context_.options.health.nonfinite_budget),
      broken_(context_.images, context_.options.health.broken_budget),
      check_interval_(check_interval(context_.total_iterations)),
      collapse_(std::move(context_.signs), first_check(context_.total_iterations)) {}

nlohmann::json TrainingMonitor::state() const {
  return {{"nonfinite", nonfinite_.state()},
          {"broken", broken_.state()},
          {"collapse", collapse_.state()},
          {"updates", updates_}};
}

void TrainingMonitor::load_state(const nlohmann::json& state) {
  updates_ = 1;  // checkpoints of older versions have no count: assume that some updates were applied
  if (!state.is_object()) return;
  nonfinite_.load_state(state.at("nonfinite"));
  broken_.load_state(state.at("broken"));
  if (state.contains("collapse")) collapse_.load_state(state.at("collapse"));
  updates_ = state.value("updates", updates_);
}

std::string TrainingMonitor::checkpoint_hint() const {
  const auto folder = context_.options.out + "/checkpoints";
  std::optional<std::int64_t> newest;
  try {
    newest = newest_checkpoint(folder);
  } catch (const Error&) {  // ignored, because the caller reports another error
  }
  return newest ? concat("; checkpoints up to then are in ", folder) : std::string();
}

void TrainingMonitor::add(PendingStep pending) {
  flush();
  pending_.emplace(std::move(pending));
}

void TrainingMonitor::flush() {
  if (!pending_) return;
  const auto pending = *std::exchange(pending_, std::nullopt);
  const StepStats stats = pending.exchange.wait();
  loss_ = stats.loss;
  stop_ = stop_ || stats.stop;
  save_due_ = save_due_ || stats.save;
  updates_ += stats.finite;
  write_line(pending, stats);
  // With loss scaling, gradients are expected to overflow while the scale adapts: such steps do not count as errors.
  const auto scale = std::ranges::find(stats.diagnostics, "loss_scale", &std::pair<std::string, double>::first);
  const bool overflow = scale != stats.diagnostics.end() && scale->second >= 1 && std::isfinite(stats.loss);
  if (!stats.finite && !overflow) handle_nonfinite(pending, stats.loss);
  if (stats.replaced > 0) handle_replacements(pending);
}

void TrainingMonitor::write_line(const PendingStep& pending, const StepStats& stats) {
  const auto iteration = pending.step.iteration;
  auto line = pending.line;
  line.update({{"step", iteration}, {"epoch", pending.step.epoch}, {"loss", stats.loss}, {"lr", pending.lr}});
  for (const auto& [name, value] : stats.diagnostics) line[name] = value;
  if (!stats.finite) line["skipped"] = true;
  context_.progress.update(iteration + 1, stats.loss, pending.line.value("images_per_second", 0.0),
                           pending.line.value("data_wait", 0.0));

  // Collapse checks see only steps that were applied.
  if (stats.finite && wants_embeddings(iteration)) {
    std::map<std::string, double> values(stats.diagnostics.begin(), stats.diagnostics.end());
    values["loss"] = stats.loss;
    for (const auto& warning : collapse_.update(iteration, values)) {
      context_.progress.warn(warning);
      line["warnings"].push_back(warning);
    }
  }
  if (const auto bad = collapse_.triggered(); !bad.empty()) line["collapse"] = bad;
  if (context_.log != nullptr && !context_.log->step(line) && !std::exchange(log_failed_, true))
    context_.progress.warn("metrics.jsonl cannot be written (disk full?); training continues");
}

/// Logs a skipped step with the samples of all ranks; throws when the budget is exceeded.
void TrainingMonitor::handle_nonfinite(const PendingStep& pending, double loss) {
  const auto& options = context_.options;
  const auto iteration = pending.step.iteration;
  nlohmann::json indices = nlohmann::json::array();
  for (const auto& text : ssl::gather_texts(context_.group, nlohmann::json(pending.indices).dump()))
    for (const auto& index : nlohmann::json::parse(text)) indices.push_back(index);
  if (context_.log != nullptr)
    context_.log->nonfinite({{"step", iteration}, {"epoch", pending.step.epoch}, {"loss", loss}, {"indices", indices}});

  const bool within_budget = nonfinite_.record(iteration);
  if (nonfinite_.in_window() == 1 || !within_budget)
    context_.progress.warn(concat("loss or gradients are not finite at step ", iteration,
                                  ": the update is skipped; the indices of its ", context_.noun, "s are in ",
                                  options.out, "/nonfinite.jsonl"));
  if (!within_budget)
    throw MismatchError(
        "loss or gradients were not finite in ", nonfinite_.in_window(), " of the last ", NonFiniteBudget::kWindow,
        " steps, up to step ", iteration, " (epoch ", pending.step.epoch, ")", checkpoint_hint(),
        ". Start over with a lower --optimizer.lr",
        options.precision == "bf16" || options.precision == "fp16" ? ", or with --precision float32" : "");
}

/// Logs the broken samples of a step, of all ranks, and sets failure_ when there are too many.
void TrainingMonitor::handle_replacements(const PendingStep& pending) {
  const auto& options = context_.options;
  for (const auto& object : gather_replacements(context_.group, pending.replacements, pending.step.iteration)) {
    const auto name = printable(object.at("name").get<std::string>());
    const auto reason = printable(object.at("reason").get<std::string>());
    if (context_.log != nullptr) context_.log->replaced(object);
    if (replacements_++ == 0)
      context_.progress.warn(concat(name, " cannot be read (", reason, "); another ", context_.noun,
                                    " replaces it. All replacements are listed in ", options.out, "/replaced.jsonl"));
    if (broken_.record(object.at("index").get<std::int64_t>())) continue;
    failure_ = [this, name, reason, &options] {
      return concat(
          "too many broken ", context_.noun, "s: ", broken_.count(), " of ", context_.images, "; a run ends at ",
          broken_.most(), " (--health.broken-budget). The last one is ", name, " (", reason, "); all are listed in ",
          options.out, "/replaced.jsonl. To resume, give a larger --health.broken-budget", checkpoint_hint(),
          ". If you repair or remove them, the data set is a different one: start a new run",
          checkpoint_hint().empty() ? "" : concat(", with --init ", options.out, " to start from the trained weights"));
    };
  }
}

namespace {
constexpr double kShare = 0.01, kFew = 10, kShareOfFew = 0.25;  ///< the default budget: see the constructor's formula
}

BrokenImages::BrokenImages(std::int64_t images, std::optional<double> budget) {
  const auto all = static_cast<double>(images);
  const auto most = budget ? *budget * all : std::max(kShare * all, std::min(kFew, kShareOfFew * all));
  most_ = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(most)));
}

bool BrokenImages::record(std::int64_t index) {
  indices_.insert(index);
  return count() < most_;
}

std::vector<nlohmann::json> gather_replacements(const ssl::Group& group, const std::vector<data::Replacement>& mine,
                                                std::int64_t step) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& item : mine)
    list.push_back({{"step", step},
                    {"index", item.index},
                    {"name", item.name},
                    {"reason", item.reason},
                    {"replacement", item.replacement}});
  std::vector<nlohmann::json> all;
  for (const auto& text : ssl::gather_texts(group, json_line(list)))
    for (auto& object : nlohmann::json::parse(text)) all.push_back(std::move(object));
  return all;
}

}  // namespace unlabel::launch
