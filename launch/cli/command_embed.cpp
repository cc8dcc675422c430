#include <unlabel/augment/error.h>
#include <unlabel/eval/report/embed.h>
#include <unlabel/eval/report/report.h>
#include <unlabel/launch/cli/commands.h>
#include <unlabel/launch/cli/evaluation.h>
#include <unlabel/launch/distributed/main_setup.h>
#include <unlabel/launch/run/command_output.h>

namespace unlabel::launch {

int command_embed(const std::vector<std::string>& arguments) {
  EvaluationOptions options;
  std::string out;
  auto fields = table(options);
  fields.add(
      "out", out,
      "where to write: NAME.npy (labels in NAME.labels.npy) or NAME.safetensors; names and classes go to NAME.jsonl");
  const CommandSpec spec{
      "unlabel embed --checkpoint RUN|FILE --data DIR --out FILE [options]",
      "Writes the encoder's feature vector of every image of a folder, labeled or not. Of a data set with\n"
      "splits, the training images; with --test DIR instead of --data, the test images.",
      {},
      "examples:\n"
      "  unlabel embed --checkpoint runs/first --data ~/photos --out photos.npy"};
  const auto line = parse_command_line(arguments, fields, spec);
  if (print_help(line, fields, spec)) return 0;
  line.apply(fields);
  if (!options.test.empty() && !(options.train.empty() && options.data.empty()))
    throw UsageError("one folder at a time: give --test alone, or --data or --train");
  if (out.empty()) throw UsageError("--out is missing: NAME.npy or NAME.safetensors");
  auto environment = read_environment();
  Warnings warnings(environment.rank == 0);
  use_share_of_cores(environment);
  const auto device = choose_device(options.device, environment);
  const auto group = rendezvous(environment, device, {options.backend, options.timeout}, "embed");
  use_share_of_cores(environment, *group);
  // What may fail on one rank alone, before anything is computed.
  EvaluatedModel subject;
  ssl::run_on_all_ranks(*group, [&] {
    if (group->rank() == 0) {
      auto files = files_of(options);
      require_output("--out", out, files);
      for (const auto& place : eval::require_embedding_output(out)) {
        require_output("--out", place, files);
        files.push_back({"--out", place});
      }
      require_output("--json", options.json, files);
    }
    subject = load_model(options, line, device);
  });
  agree_on_settings(*group, fields, subject);
  const auto dataset = open_split(options, options.test.empty() ? data::Split::kTrain : data::Split::kTest, *group);
  for (const auto& note : dataset->notes()) warnings.add(note);
  resolve_size(subject, *dataset, options, *group);
  settle_feature_precision(options, device, *group, warnings);
  const auto features = model_features(subject, dataset, options, device, *group, warnings);

  // Rank 0 writes for as long as it takes, and nobody waits for it: the others are done.
  if (environment.rank != 0) return 0;
  const auto written = eval::write_embeddings(out, features, *dataset);
  if (features.skipped > 0) warnings.add(concat(features.skipped, " broken images are left out"));
  print_line(options.json,
             printable(concat(features.size(), " x ", features.dim(), " features of ", dataset->description(), " by ",
                              subject.description, eval::left_out(features.skipped))));
  for (const auto& path : written) print_line(options.json, "  " + path);
  nlohmann::json json = {
      {"images", features.size()}, {"dim", features.dim()}, {"skipped", features.skipped}, {"files", written}};
  describe(subject, options, json);
  write_result(options.json, json, warnings.sentences());
  return 0;
}

}  // namespace unlabel::launch
