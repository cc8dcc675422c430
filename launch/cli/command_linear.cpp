#include <unlabel/augment/error.h>
#include <unlabel/eval/protocols/linear.h>
#include <unlabel/eval/report/report.h>
#include <unlabel/launch/cli/commands.h>
#include <unlabel/launch/cli/evaluation.h>
#include <unlabel/launch/distributed/main_setup.h>

#include <cstdio>

namespace unlabel::launch {

int command_linear(const std::vector<std::string>& arguments) {
  EvaluationOptions options;
  std::string protocol = "features";
  eval::LogisticOptions logistic;
  eval::LinearProbeOptions probe;
  auto fields = table(options);
  fields.add("protocol", protocol,
             "features: logistic regression on features; swav: a layer trained on augmented images");
  fields.section("features", without(eval::table(logistic), {"device"}));
  fields.section("swav", without(eval::table(probe), {"seed"}));
  const CommandSpec spec{
      "unlabel linear --checkpoint RUN|FILE --data DIR [options]",
      "Accuracy of a linear classifier on a frozen encoder. Protocols: features (logistic regression to convergence, "
      "nothing to tune;\n"
      "minutes) and swav (SGD on augmented images for 100 epochs, best epoch; what SwAV's paper reports).",
      {},
      "examples:\n"
      "  unlabel linear --checkpoint runs/first --data ~/photos\n"
      "  unlabel linear --checkpoint runs/first --data ~/photos --protocol swav --swav.epochs 30"};
  const auto line = parse_command_line(arguments, fields, spec);
  if (print_help(line, fields, spec)) return 0;
  line.apply(fields);
  if (protocol != "features" && protocol != "swav")
    throw UsageError("no linear protocol '", protocol, "'", did_you_mean(protocol, {"features", "swav"}),
                     "; there are features and swav");
  if (protocol == "swav" && options.pixels)
    throw UsageError("--pixels has no encoder for --protocol swav; use --protocol features");
  auto environment = read_environment();
  Warnings warnings(environment.rank == 0);
  use_share_of_cores(environment);
  const auto device = choose_device(options.device, environment);
  if (protocol == "features") eval::require_valid(logistic);
  probe.features = options.features;
  probe.seed = options.seed;
  if (protocol == "swav") eval::require_valid(probe);
  const auto group = rendezvous(environment, device, {options.backend, options.timeout}, "linear");
  use_share_of_cores(environment, *group);
  // What may fail on one rank alone, before anything is computed.
  EvaluatedModel subject;
  ssl::run_on_all_ranks(*group, [&] {
    if (group->rank() == 0) require_output("--json", options.json, files_of(options));
    subject = load_model(options, line, device);
  });
  agree_on_settings(*group, fields, subject);
  const auto sets = open_sets(options, *group, warnings);
  resolve_size(subject, *sets.test, options, *group);
  settle_feature_precision(options, device, *group, warnings);
  probe.features = feature_options(subject, options, device);  // of the settled precision
  const bool lead = environment.rank == 0;

  nlohmann::json json;
  std::string text;
  if (protocol == "features") {
    logistic.device = device.str();
    const auto train_features = model_features(subject, sets.train, options, device, *group, warnings);
    const auto test_features = model_features(subject, sets.test, options, device, *group, warnings);
    const auto result = eval::logistic_regression(train_features, test_features, logistic, *group);
    json = eval::to_json(result);
    text = eval::describe(result);
    for (const auto& doubt : eval::doubts(result)) warnings.add(doubt);
  } else {
    const auto view = subject.view();
    const auto result = eval::linear_probe(*subject.encoder, sets.train, sets.test, eval::linear_train_view(view), view,
                                           probe, *group, [&](const auto& epoch) {
                                             if (lead)
                                               std::fprintf(stderr, "epoch %lld  loss %.4f  test %s\n",
                                                            static_cast<long long>(epoch.epoch + 1), epoch.loss,
                                                            eval::percent(epoch.accuracy).c_str());
                                           });
    json = eval::to_json(result);
    text = eval::describe(result);
    if (const auto warning = augment::range_warning(result.decoded); !warning.empty()) warnings.add(warning);
    for (const auto& doubt : eval::doubts(result)) warnings.add(doubt);
  }
  if (lead) report(subject, options, sets, text, std::move(json), warnings);
  return 0;
}

}  // namespace unlabel::launch
