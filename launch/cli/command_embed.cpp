#include <unlabel/augment/error.h>
#include <unlabel/eval/report/embed.h>
#include <unlabel/eval/report/report.h>
#include <unlabel/launch/cli/commands.h>
#include <unlabel/launch/cli/eval_common.h>
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
      "Writes the encoder's feature vector of every image of a folder, labeled or not. If the folder has train and\n"
      "test inside, of the training images; for those of its test images, give the folder as --test instead of --data.",
      {},
      "examples:\n"
      "  unlabel embed --checkpoint runs/first --data ~/photos --out photos.npy"};
  const auto line = parse_command_line(arguments, fields, spec);
  if (print_help(line, fields, spec)) return 0;
  line.apply(fields);
  if (!options.test.empty() && !(options.train.empty() && options.data.empty()))
    throw UsageError("one folder at a time: give --test alone, or --data or --train");
  if (out.empty()) throw UsageError("--out is missing: NAME.npy or NAME.safetensors");
  auto evaluation = start_evaluation("embed", options, line, fields, [&] {
    auto files = files_of(options);
    require_output("--out", out, files);
    for (const auto& place : eval::require_embedding_output(out)) {
      require_output("--out", place, files);
      files.push_back({"--out", place});
    }
    require_output("--json", options.json, files);
  });
  auto& warnings = evaluation.warnings;
  const auto dataset =
      open_split(options, options.test.empty() ? data::Split::kTrain : data::Split::kTest, *evaluation.group);
  for (const auto& note : dataset->notes()) warnings.add(note);
  evaluation.prepare(*dataset);
  const auto features = evaluation.features(dataset);

  // Rank 0 writes, which may take long; the other ranks are done and wait for nothing.
  if (!evaluation.is_rank0()) return 0;
  const auto written = eval::write_embeddings(out, features, *dataset);
  if (features.skipped > 0) warnings.add(concat(features.skipped, " broken images are left out"));
  print_line(options.json,
             printable(concat(features.size(), " x ", features.dim(), " features of ", dataset->description(), " by ",
                              evaluation.model.description, eval::left_out(features.skipped))));
  for (const auto& path : written) print_line(options.json, "  " + path);
  nlohmann::json json = {
      {"images", features.size()}, {"dim", features.dim()}, {"skipped", features.skipped}, {"files", written}};
  evaluation.describe(json);
  write_result(options.json, json, warnings.sentences());
  return 0;
}

}  // namespace unlabel::launch
