#include <unlabel/augment/error.h>
#include <unlabel/eval/protocols/knn.h>
#include <unlabel/eval/report/report.h>
#include <unlabel/launch/cli/commands.h>
#include <unlabel/launch/cli/evaluation.h>
#include <unlabel/launch/distributed/main_setup.h>

namespace unlabel::launch {

int command_knn(const std::vector<std::string>& arguments) {
  EvaluationOptions options;
  eval::KnnOptions knn;
  auto fields = table(options);
  fields.append(without(eval::table(knn), {"device"}));
  const CommandSpec spec{"unlabel knn --checkpoint RUN|FILE --data DIR [options]",
                         "Accuracy of a weighted vote of nearest neighbors on frozen features. A figure means nothing "
                         "without its protocol:\n"
                         "dino (k 20, T 0.07), instdisc (k 200, T 0.07), lightly (k 200, T 0.1).",
                         {},
                         "examples:\n"
                         "  unlabel knn --checkpoint runs/first --data ~/photos\n"
                         "  unlabel knn --untrained --encoder.arch resnet18 --data cifar10:~/cifar --json -"};
  const auto line = parse_command_line(arguments, fields, spec);
  if (print_help(line, fields, spec)) return 0;
  line.apply(fields);
  auto environment = read_environment();
  Warnings warnings(environment.rank == 0);
  use_share_of_cores(environment);
  const auto device = choose_device(options.device, environment);
  knn.device = device.str();
  eval::require_valid(knn);
  const auto group = rendezvous(environment, device, {options.backend, options.timeout}, "knn");
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

  auto train_features = model_features(subject, sets.train, options, device, *group, warnings);
  auto test_features = model_features(subject, sets.test, options, device, *group, warnings);
  if (options.pixels) eval::center(train_features, test_features);
  const auto result = eval::knn(train_features, test_features, knn, *group);
  for (const auto& doubt : eval::doubts(result)) warnings.add(doubt);
  if (environment.rank == 0) report(subject, options, sets, eval::describe(result), eval::to_json(result), warnings);
  return 0;
}

}  // namespace unlabel::launch
