#include <unlabel/augment/error.h>
#include <unlabel/data/sampler.h>
#include <unlabel/launch/cli/commands.h>
#include <unlabel/launch/cli/explain.h>
#include <unlabel/launch/distributed/agreement.h>
#include <unlabel/launch/distributed/main_setup.h>
#include <unlabel/launch/distributed/process_group.h>
#include <unlabel/launch/distributed/shared_data.h>
#include <unlabel/launch/pretrain/pretrain.h>
#include <unlabel/launch/run/command_output.h>
#include <unlabel/launch/training/precision.h>
#include <unlabel/ssl/planning/recipe.h>

#include <algorithm>
#include <map>

namespace unlabel::launch {

namespace {

/// Ranks that have not met: enough to make a method and to train nothing.
class RanksToCome : public ssl::Group {
 public:
  explicit RanksToCome(int world_size) : world_size_(world_size) {}
  int world_size() const override { return world_size_; }
  std::shared_ptr<const ssl::Group> subgroup(int size) const override {
    if (size < 0 || (size > 0 && world_size_ % size != 0))
      throw UsageError("groups of ", size, " ranks do not divide a world of ", world_size_);
    return std::make_shared<RanksToCome>(size == 0 ? world_size_ : size);
  }

 private:
  int world_size_;
};

/// Throws as a run would that cannot begin.
void validate(const ResolvedOptions& resolved, int world_size) {
  const auto& options = resolved.options;
  const data::Sampler sampler(resolved.dataset->size(), options.batch_size, options.seed, 0, world_size);
  const auto micro_batch = micro_batch_size(options, sampler, world_size);
  const auto method = ssl::make_method(options.method, options.methods,
                                       {options.encoder, resolved.dataset->size(), options.batch_size, micro_batch,
                                        options.seed, std::make_shared<RanksToCome>(world_size)});
  ssl::require_views(*method, make_views(options));
  const auto steps = sampler.steps_per_epoch();
  ssl::Schedule(options.schedule, options.optimizer.lr, steps, options.epochs * steps);
  ssl::Optimizer(method->parameter_groups(), options.optimizer);
}

/// What --precision auto comes to on this rank's device.
void show_native_precision(ResolvedOptions& resolved, at::Device device) {
  if (resolved.options.precision != "auto") return;
  const auto native = native_precision(device_facts(device));
  resolved.options.precision = native.precision;
  std::erase_if(resolved.choices, [](const auto& choice) { return choice.setting == "precision"; });
  resolved.choices.push_back({"precision", native.precision, "auto: " + native.reason});
}

/// The names of each method's recipes, in lines of a screen's width, by method.
std::map<std::string, std::string> recipe_lines() {
  std::map<std::string, std::string> texts, lines;
  for (const auto& name : ssl::recipe_names()) {
    const auto method = ssl::find_recipe(name).at("method").get<std::string>();
    const auto title = "Recipes for " + method + ":";
    auto& line = lines.try_emplace(method, title).first->second;
    if (line.size() + name.size() > 118) {
      texts[method] += line + "\n";
      line.assign(title.size(), ' ');
    }
    line += " " + name;
  }
  for (const auto& [method, line] : lines) texts[method] += line + "\n";
  return texts;
}

}  // namespace

int command_pretrain(const std::vector<std::string>& arguments) {
  PretrainOptions defaults;
  std::string json;
  bool only_explain = false;
  auto options = table(defaults);
  options.add("explain", only_explain,
              "print each setting, where it comes from and why, beside the paper's value, and exit");
  options.add("json", json, "write a summary of the run to this file; -: to stdout");
  CommandSpec spec{"unlabel pretrain METHOD --data DIR --out RUN [options]", "", {"method"}, "", {}};
  auto line = parse_command_line(arguments, options, spec);
  if (line.help) {
    // With a method, only what is of use to it.
    const auto names = ssl::method_names();
    auto method = line.get("method");
    if (std::ranges::find(names, method) == names.end()) method.clear();
    std::string recipes;
    auto lines = recipe_lines();
    for (const auto& name : names) {
      if (method.empty() || name == method)
        recipes += lines[name];
      else
        spec.left_out.push_back(name);
    }
    spec.summary = concat(
        "Learns an encoder from images without labels, and writes RUN/encoder.safetensors. Without --recipe, epochs,\n"
        "batch size, precision, and the options of encoder, METHOD, optimizer, schedule and views are planned from\n"
        "the number and the size of the images, and shown; planned values replace the defaults in brackets.\n",
        recipes,
        "Running the same command again resumes the run. Started by torchrun --no-python, all ranks train together;\n"
        "--batch-size counts the images of all ranks.\n",
        method.empty() ? "`unlabel pretrain METHOD --help` shows only the options for METHOD."
                       : concat("Only options for ", method, " are shown; `unlabel pretrain --help` has all methods."));
    const auto example = concat("unlabel pretrain ", method.empty() ? "swav" : method, " --data ");
    spec.more = concat("examples:\n  ", example, "~/photos --out runs/first\n  ", example,
                       "~/imagenet --epochs 200 --out runs/second\n  torchrun --no-python --nproc-per-node 8 ", example,
                       "~/imagenet --out runs/third");
    print_help(line, options, spec);
    return 0;
  }
  line.apply(options);
  for (const char* not_of_the_run : {"json", "explain"}) line.values.erase(not_of_the_run);
  const auto environment = read_environment();
  use_share_of_cores(environment);
  if (only_explain) {
    if (environment.rank != 0) return 0;
    require_output(
        "--json", json,
        {{"--recipe", line.get("recipe")}, {"--init", line.get("init")}, data_folder("--data", line.get("data"))});
    // Refuses, in a world of one, what ranks cannot meet with.
    auto resolved = resolve_options(line, Purpose::kDryRun, [&](const PretrainOptions& given) {
      return connect({}, choose_device(given.device, environment), {given.backend, given.init_timeout});
    });
    show_native_precision(resolved, choose_device(resolved.options.device, environment));
    validate(resolved, environment.world_size);
    const auto explained = explain(resolved);
    print_line(json, explanation_text(explained));
    write_result(json, explained, resolved.warnings);
    return 0;
  }
  const auto resolved = resolve_options(line, Purpose::kRun, [&](const PretrainOptions& given) {
    auto group = rendezvous(environment, choose_device(given.device, environment), {given.backend, given.init_timeout},
                            "pretrain");
    ssl::run_on_all_ranks(*group, [&] {
      if (group->rank() == 0)
        require_output("--json", json,
                       {{"--recipe", given.recipe}, {"--init", given.init}, data_folder("--data", given.data)},
                       given.out);
    });
    return group;
  });
  const auto result = pretrain(resolved, environment);
  if (environment.rank != 0) return result.exit_code;

  const auto& summary = result.summary;
  const double rate = summary.at("images_per_second").get<double>();
  if (result.exit_code == 0)
    print_message(
        json, concat("encoder: ", summary.at("out").get<std::string>(), "/encoder.safetensors (", summary.at("steps"),
                     " steps", rate > 0 ? concat(", ", static_cast<std::int64_t>(rate), " images/s)") : ")"));
  write_result(json, summary, result.warnings);
  return result.exit_code;
}

}  // namespace unlabel::launch
