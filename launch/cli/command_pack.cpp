#include <unlabel/augment/error.h>
#include <unlabel/data/formats.h>
#include <unlabel/data/image/shards.h>
#include <unlabel/data/io/files.h>
#include <unlabel/launch/cli/commands.h>
#include <unlabel/launch/command_line.h>
#include <unlabel/launch/run/command_output.h>

#include <filesystem>
#include <utility>

namespace unlabel::launch {

namespace fs = std::filesystem;

namespace {
constexpr std::int64_t kMegabyte = 1'000'000;
}

int command_pack(const std::vector<std::string>& arguments) {
  std::string data, out, json;
  std::int64_t megabytes = 1000;
  data::PackOptions options;
  OptionTable fields;
  fields.add("data", data,
             "images: a folder, whose format is recognized, or with the format named: " + data::format_prefixes());
  fields.add("out", out, "the folder for the archives; it must be empty, or not exist");
  fields.add("shard_megabytes", megabytes, "size of an archive, in millions of bytes");
  fields.add("shuffle", options.shuffle, "write images in random order, for readers that read archives sequentially");
  fields.add("seed", options.seed, "of the random order");
  fields.add("json", json, "write the result to this file; -: to stdout");
  const CommandSpec spec{
      "unlabel pack DATA --out DIR [options]",
      "Writes a data set as tar archives by WebDataset's convention, which --data shards:DIR reads by "
      "index. On most shared\ndisks a few large files are read much faster than a million small ones.",
      {"data"},
      "examples:\n"
      "  unlabel pack ~/photos --out ~/packed\n"
      "  unlabel pretrain swav --data shards:~/packed --out runs/first"};
  const auto line = parse_command_line(arguments, fields, spec);
  if (print_help(line, fields, spec)) return 0;
  line.apply(fields);
  if (data.empty()) throw UsageError("no data given: unlabel pack DATA --out DIR");
  if (out.empty()) throw UsageError("--out is missing: the folder for the archives");
  if (megabytes < 1 || megabytes > 1'000'000'000)
    throw UsageError("--shard-megabytes must be from 1 to 1000000000, and is ", megabytes);
  require_output("--json", json, {data_folder("DATA", data)});
  std::error_code error;
  // A link stands for its target: a rename would replace the link, or fail.
  const bool there = data::exists(out);
  if (!there && fs::is_symlink(out, error))
    throw UsageError("--out ", out, " is a link to nothing; choose another folder");
  if (there && (!fs::is_directory(out, error) || !fs::is_empty(out, error)))
    throw UsageError("--out ", out, " is not an empty folder; choose another one");
  options.shard_bytes = static_cast<std::uint64_t>(megabytes * kMegabyte);

  Warnings warnings;
  const auto train = data::open_dataset(data, data::Split::kTrain);
  const auto test = data::has_test_images(data) ? data::open_dataset(data, data::Split::kTest) : nullptr;
  if (test && test->class_names() != train->class_names())
    throw UsageError("the test images of ", data, " have other classes than the training images; pack them separately");
  for (const auto& note : train->notes()) warnings.add(note);
  if (test)
    for (const auto& note : test->notes()) warnings.add(note);
  // The folder gets its name when it is complete: a part of a data set must not look like a whole one.
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  const std::string place = there ? fs::canonical(out).string() : out, unfinished = place + ".unfinished";
  if (fs::exists(fs::symlink_status(unfinished, error)))
    throw UsageError(unfinished, " exists, left by an interrupted pack or in use by a running one: remove it first");
  // An existing empty folder becomes the unfinished one, which tests the rename before all the work: a mount point cannot be renamed.
  if (there)
    fs::rename(place, unfinished, error);
  else
    fs::create_directories(unfinished, error);
  if (error)
    throw UsageError("--out ", out, ": cannot write archives there: ", error.message(),
                     "; choose a new folder, below that one if it is a mounted disk");
  std::vector<std::string> archives;
  std::int64_t images = 0;
  try {
    for (const auto& [dataset, prefix] : {std::pair(train, "train"), std::pair(test, "test")}) {
      if (!dataset) continue;
      for (const auto& path : data::write_shards(*dataset, unfinished, prefix, options))
        archives.push_back(concat(out, "/", fs::path(path).filename().string()));
      images += dataset->size();
    }
    fs::rename(unfinished, place);
  } catch (...) {
    // Removes only what write_shards makes, as other programs may have written there. An existing folder keeps its owner and permissions.
    std::vector<fs::path> written;
    for (const auto& entry : fs::directory_iterator(unfinished, error))
      if (const auto name = entry.path().filename().string();
          name == "classes.txt" || ((name.starts_with("train-") || name.starts_with("test-")) &&
                                    (name.ends_with(".tar") || name.find(".tar.tmp-") != std::string::npos)))
        written.push_back(entry.path());
    for (const auto& path : written) fs::remove(path, error);
    if (there)
      fs::rename(unfinished, place, error);
    else
      fs::remove(unfinished, error);
    if (error) warnings.add(concat("unfinished archives are in ", unfinished, ": ", error.message()));
    throw;
  }
  print_line(json, concat(images, images == 1 ? " image in " : " images in ", archives.size(),
                          archives.size() == 1 ? " archive" : " archives", "; --data shards:", out, " reads them"));
  write_result(json, {{"data", data}, {"images", images}, {"archives", archives}}, warnings.sentences());
  return 0;
}

}  // namespace unlabel::launch
