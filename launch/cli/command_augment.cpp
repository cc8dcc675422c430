#include <unlabel/augment/codec/encode.h>
#include <unlabel/augment/codec/image_header.h>
#include <unlabel/augment/error.h>
#include <unlabel/augment/fused/view_kernel.h>
#include <unlabel/augment/preview/contact_sheet.h>
#include <unlabel/augment/transforms/presets.h>
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/data/io/files.h>
#include <unlabel/data/io/parallel_for.h>
#include <unlabel/data/io/retry.h>
#include <unlabel/launch/checkpoint/checkpoint_files.h>
#include <unlabel/launch/cli/commands.h>
#include <unlabel/launch/command_line.h>
#include <unlabel/launch/run/command_output.h>
#include <unlabel/launch/run/run_folder.h>

#include <fcntl.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <limits>
#include <optional>
#include <string_view>

namespace unlabel::launch {

namespace fs = std::filesystem;
using augment::DecodeOptions;
using augment::ImageSource;
using augment::MultiCrop;
using augment::Normalize;
using augment::Pipeline;
using augment::PresetOptions;
using augment::Transform;
using augment::TransformParams;

namespace {

/// The options that preview, replay and bench share: which views, and of which sample.
struct ViewOptions {
  std::string run, views;
  std::string preset = "swav";
  PresetOptions augment;
  DecodeOptions decode;
  std::uint64_t seed = 0, epoch = 0, sample = 0;
  std::string json;
};

OptionTable table(ViewOptions& o) {
  OptionTable t;
  t.add("run", o.run, "a run folder, whose views, decoding and seed are used");
  t.add("views", o.views,
        "a file of views, as JSON: {\"views\": [{\"count\": 2, \"pipeline\": [{\"op\": \"CenterCrop\"}, ...]}, ...]}, "
        "or what "
        "preview --json wrote; transforms (\"op\"): " +
            joined(augment::transform_names(), ", "));
  t.add("preset", o.preset,
        joined(augment::preset_names(), ", ") +
            "; byol_view1 and byol_view2: byol's two kinds of views; eval: that of evaluation");
  t.add("seed", o.seed, "seed of the run whose views are to be made again (not used by bench)");
  t.add("epoch", o.epoch, "epoch of that run, from 0 (not used by bench)");
  t.add("sample", o.sample, "index of the image in that run's data set, from 0 (not used by bench)");
  t.add("json", o.json,
        "write as JSON to this file (-: to stdout): the parameters of the views; by bench, the measurements");
  t.section("augment", augment::table(o.augment));
  t.section("decode", augment::table(o.decode));
  return t;
}

/// Reads the views, decoding and seed of --run; the command line overrides them.
void take_run(const CommandLine& line, OptionTable& fields) {
  const std::string path = line.get("run");
  if (path.empty()) return;
  auto config = read_run_json(path + "/config.json");
  add_later_options(config);
  auto augment = config.value("augment", nlohmann::json::object());
  if (!augment.is_object() || !config.value("seed", nlohmann::json()).is_number_unsigned())
    throw UsageError(path, "/config.json is not a run's");
  nlohmann::json known = {{"seed", config["seed"]}};
  if (augment.contains("preset")) known["preset"] = augment["preset"];
  augment.erase("preset");
  known["augment"] = augment;
  if (config.contains("decode")) known["decode"] = config["decode"];
  fields.from_json(known, path + "/config.json");
}

MultiCrop views_of(const CommandLine& line, const ViewOptions& options) {
  if (options.views.empty()) return augment::preset(options.preset, options.augment);
  if (!options.run.empty() || line.has("preset"))
    throw UsageError("--views stands alone: leave out --run and --preset");
  const auto json = read_json_file(options.views);
  return MultiCrop::from_json(json.is_object() && json.contains("multi_crop") ? json["multi_crop"] : json);
}

ImageSource read_source(const std::string& path) {
  ImageSource source;
  data::retry([&] { data::read_file(AT_FDCWD, path.c_str(), path, data::kMaxFileBytes, source.bytes); });
  return source;
}

/// By its first bytes, so that a video is not read whole.
bool looks_like_image(const std::string& path) {
  constexpr std::uint64_t kStart = 64;
  std::vector<std::uint8_t> start;
  data::retry(
      [&] { data::read_file(AT_FDCWD, path.c_str(), path, std::numeric_limits<std::uint64_t>::max(), start, kStart); });
  return augment::image_format(start) != augment::ImageFormat::kUnknown;
}

void write_png(const std::string& path, const cv::Mat& picture) {
  const auto bytes = augment::encode_png(picture);
  data::write_file(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

nlohmann::json key_json(const ViewOptions& o) { return {{"seed", o.seed}, {"epoch", o.epoch}, {"sample", o.sample}}; }

/// The arguments of preview and replay: a photograph and its views.
struct PreviewArguments {
  ViewOptions options;
  std::string photo, out;
  MultiCrop crops;
  ImageSource source;
  cv::Size size;
  Warnings warnings{};
};

/// Parses the arguments, reads the photograph and opens the output. False: the help was printed.
bool parse_preview(const std::vector<std::string>& arguments, PreviewArguments& look, OptionTable more,
                   const CommandSpec& spec) {
  OptionTable fields;
  fields.add("photo", look.photo, "an image file");
  fields.add("out", look.out, "the PNG file to write");
  fields.append(std::move(more));
  fields.append(table(look.options));
  const auto line = parse_command_line(arguments, fields, spec);
  if (print_help(line, fields, spec)) return false;
  take_run(line, fields);
  line.apply(fields);
  if (look.photo.empty() || look.out.empty()) throw UsageError("give a photograph and --out FILE.png; see --help");
  auto ending = fs::path(look.out).extension().string();
  std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return std::tolower(c); });
  if (ending != ".png")
    throw UsageError("--out ", look.out, ": what is written is a PNG; give a name that ends in .png");
  const NamedFile photo{"the photograph", look.photo};
  const NamedFile views{"--views", look.options.views};
  require_output("--out", look.out, {photo, views});
  require_output("--json", look.options.json, {photo, views, {"--out", look.out}});
  look.crops = views_of(line, look.options);
  look.source = read_source(look.photo);
  try {
    augment::DecodeReport report;
    look.size = augment::decode(look.source, look.options.decode, &report).size();
    if (const auto warning = augment::range_warning(report); !warning.empty()) look.warnings.add(warning);
  } catch (const Error& error) {
    throw Error(look.photo, ": ", error.what());
  }
  return true;
}

std::vector<TransformParams> params_for(const PreviewArguments& look, int view) {
  const auto& o = look.options;
  return look.crops.pipeline(view).make_params(look.size,
                                               {o.seed, o.epoch, o.sample, static_cast<std::uint32_t>(view)});
}

int preview(const std::vector<std::string>& arguments) {
  PreviewArguments look;
  const CommandSpec spec{
      "unlabel augment preview PHOTO --out SHEET.png [options]",
      "Draws a sheet with the image, on which the crops are outlined, and its views, each with its random parameters.",
      {"photo"},
      "examples:\n  unlabel augment preview photo.jpg --preset swav --out sheet.png"};
  if (!parse_preview(arguments, look, {}, spec)) return 0;
  const auto& o = look.options;
  write_png(look.out, augment::contact_sheet(look.source, look.crops, {o.seed, o.epoch, o.sample, 0}, o.decode));
  auto params = nlohmann::json::array();
  for (int v = 0; v < look.crops.views(); ++v)
    params.push_back(look.crops.pipeline(v).params_to_json(params_for(look, v)));
  print_line(o.json, printable(concat(look.crops.views(), look.crops.views() == 1 ? " view: " : " views: ", look.out)));
  write_result(o.json,
               {{"photo", look.photo}, {"multi_crop", look.crops.to_json()}, {"key", key_json(o)}, {"drawn", params}},
               look.warnings.sentences());
  return 0;
}

int replay(const std::vector<std::string>& arguments) {
  PreviewArguments look;
  int view = 0;
  std::string drawn_file;
  OptionTable more;
  more.add("view", view, "index of the view, from 0");
  more.add("drawn", drawn_file,
           "a file that preview --json wrote: the view is made with the parameters in it, and not with those of "
           "--seed, --epoch and --sample");
  const CommandSpec spec{
      "unlabel augment replay PHOTO --view N --out VIEW.png [options]",
      "One view of an image as training saw it, by the run's views and seed, the epoch and the sample's index, or by\n"
      "parameters from a file (--drawn).",
      {"photo"},
      "examples:\n"
      "  unlabel augment replay photo.jpg --run runs/first --epoch 3 --sample 17 --view 2 --out view.png"};
  if (!parse_preview(arguments, look, std::move(more), spec)) return 0;
  if (view < 0 || view >= look.crops.views())
    throw UsageError("--view must be 0 to ", look.crops.views() - 1, ", not ", view);
  const auto& pipeline = look.crops.pipeline(view);
  std::vector<TransformParams> params;
  if (drawn_file.empty()) {
    params = params_for(look, view);
  } else {
    const auto kept = read_json_file(drawn_file);
    const auto& all = kept.is_object() ? kept.value("drawn", nlohmann::json()) : nlohmann::json();
    if (!all.is_array() || static_cast<int>(all.size()) != look.crops.views())
      throw UsageError(drawn_file, ": 'drawn' must be a list of ", look.crops.views(), " views' parameters");
    params = pipeline.params_from_json(all[view]);
  }
  std::vector<float> out(look.crops.shape(view).size());
  look.crops.replay(look.source, view, params, out.data(), look.options.decode);
  write_png(look.out, augment::picture_of(pipeline, out.data()));
  const auto& json = look.options.json;
  for (const auto& line : augment::describe(pipeline, params)) print_line(json, line);
  write_result(json,
               {{"photo", look.photo},
                {"view", view},
                {"key", key_json(look.options)},
                {"drawn", pipeline.params_to_json(params)}},
               look.warnings.sentences());
  return 0;
}

/// Milliseconds per image: CPU time, which other processes hardly change, and wall time of a thread.
struct Milliseconds {
  double cpu = 0, wall = 0;
};

/// Mean time per image over `count` images from `first` on, which the threads share.
Milliseconds measure(const std::vector<ImageSource>& photos, const MultiCrop& crops, const DecodeOptions& decode,
                     int threads, std::uint64_t first, std::uint64_t count) {
  const auto start = std::chrono::steady_clock::now();
  const std::clock_t cpu_start = std::clock();  // CPU time of the process: these threads, and OpenCV's for large images
  data::parallel_for(count, threads, [&] {
    std::vector<std::vector<float>> views;
    std::vector<float*> places;
    places.reserve(crops.views());
    for (int v = 0; v < crops.views(); ++v) places.push_back(views.emplace_back(crops.shape(v).size()).data());
    return [&, views = std::move(views), places = std::move(places)](std::size_t i) {
      crops(photos[(first + i) % photos.size()], {0, 0, first + i, 0}, places, decode);
    };
  });
  const double cpu = 1e3 * static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
  const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - start;
  const auto images = static_cast<double>(count);
  return {cpu / images, elapsed.count() * threads / images};
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// The views with only the first `count` steps and the normalization; nullopt where that is not a valid pipeline, as without the step that
/// fixes the size.
std::optional<MultiCrop> up_to(const MultiCrop& crops, std::size_t count) {
  std::vector<MultiCrop::Group> groups;
  try {
    for (const auto& group : crops.groups()) {
      std::vector<Transform> kept;
      for (std::size_t i = 0; i < group.pipeline.steps().size(); ++i)
        if (i < count || std::holds_alternative<Normalize>(group.pipeline.steps()[i]))
          kept.push_back(group.pipeline.steps()[i]);
      groups.push_back({group.count, Pipeline(std::move(kept))});
    }
    return MultiCrop(std::move(groups), crops.exact());
  } catch (const UsageError&) {
    return std::nullopt;
  }
}

/// The names of the steps at position `place` of the groups' pipelines; "" where there are none but Normalize.
std::string names_at(const MultiCrop& crops, std::size_t place) {
  std::vector<std::string> names;
  for (const auto& group : crops.groups()) {
    const auto& steps = group.pipeline.steps();
    if (place >= steps.size() || std::holds_alternative<Normalize>(steps[place])) continue;
    std::string name(augment::name(steps[place]));
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  }
  return joined(names, " or ");
}

int bench(const std::vector<std::string>& arguments) {
  ViewOptions options;
  std::string folder;
  int threads = 1, most = 500;
  double seconds = 3;
  OptionTable fields;
  fields.add("folder", folder, "a folder of images");
  fields.add("threads", threads, "threads that make views");
  fields.add("seconds", seconds, "duration of all 15 rounds of one figure");
  fields.add("images", most, "the number of images of the folder that are used, at most; they are held in memory");
  fields.append(table(options));
  const CommandSpec spec{
      "unlabel augment bench FOLDER [options]",
      "Measures how many images a second become views, and the time that each operation adds to those before it\n"
      "(about 0 for cheap ones). Milliseconds are CPU time, which other processes on the machine\n"
      "hardly change; the wall time of a thread is shown, too. Each figure is the median of 15\n"
      "rounds; within a round, all operations are timed on the same images.",
      {"folder"},
      "examples:\n  unlabel augment bench ~/photos --preset swav --threads 1"};
  const auto line = parse_command_line(arguments, fields, spec);
  if (print_help(line, fields, spec)) return 0;
  take_run(line, fields);
  line.apply(fields);
  if (folder.empty()) throw UsageError("which images? unlabel augment bench FOLDER");
  if (threads < 1 || threads > 1024 || most < 1 || !(seconds > 0 && seconds <= 3600))
    throw UsageError("--threads must be 1 to 1024, --images at least 1, --seconds above 0 and at most 3600");
  require_output("--json", options.json, {{"FOLDER", folder}, {"--views", options.views}});
  const MultiCrop crops = views_of(line, options);

  std::error_code error;
  if (!fs::is_directory(folder, error)) throw UsageError(folder, ": there is no such folder");
  std::vector<std::string> paths;
  for (fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied, error), end;
       !error && entry != end; entry.increment(error))
    if (entry->is_regular_file(error)) paths.push_back(entry->path().string());
  std::sort(paths.begin(), paths.end());
  std::vector<ImageSource> photos;
  std::size_t unread = 0;
  for (const auto& path : paths) {
    if (static_cast<int>(photos.size()) == most) break;
    try {
      if (!looks_like_image(path)) throw Error(path, ": no image");
      auto source = read_source(path);
      augment::decode(source, options.decode);
      photos.push_back(std::move(source));
    } catch (const IoError&) {
      throw;
    } catch (const Error&) {
      ++unread;
    }
  }
  if (photos.empty()) throw UsageError(folder, ": holds no image that can be read");

  // In turns and on the same images, so that other load of the machine affects all alike.
  struct Measured {
    std::string label;
    MultiCrop crops;
    std::vector<double> cpu, wall, added;  ///< round by round; and what it took more than the one before it
  };
  std::vector<Measured> all;
  std::size_t longest = 0;
  for (const auto& group : crops.groups()) longest = std::max(longest, group.pipeline.steps().size());
  std::vector<std::string> names = {"decode"};
  for (std::size_t i = 1; i <= longest; ++i) {
    const auto name = names_at(crops, i - 1);
    if (name.empty()) continue;
    names.push_back(name);
    auto views = up_to(crops, i);
    if (!views) continue;  // measured with the next
    all.push_back({joined(names, ", ") + (all.empty() ? ", to floats" : ""), std::move(*views), {}, {}, {}});
    names.clear();
  }
  all.push_back({"all", crops, {}, {}, {}});
  constexpr int kRounds = 15;
  const std::uint64_t few = std::max<std::uint64_t>(photos.size() / 10, threads);
  const double about = measure(photos, crops, options.decode, threads, 0, few).wall;  // warms caches, too
  const auto count =
      static_cast<std::uint64_t>(std::max<double>(std::ceil(1000 * seconds * threads / kRounds / about), threads));
  for (int round = 0; round < kRounds; ++round)
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto taken = measure(photos, all[i].crops, options.decode, threads, round * count, count);
      all[i].cpu.push_back(taken.cpu);
      all[i].wall.push_back(taken.wall);
      all[i].added.push_back(taken.cpu - (i == 0 ? 0 : all[i - 1].cpu.back()));
    }
  const double cpu = median(all.back().cpu), wall = median(all.back().wall), rate = 1000 * threads / wall;
  all.pop_back();
  nlohmann::json result = {{"folder", folder},        {"images", photos.size()},
                           {"unreadable", unread},    {"threads", threads},
                           {"fused", crops.fused()},  {"instruction_set", augment::instruction_set()},
                           {"views", crops.views()},  {"images_per_second", rate},
                           {"cpu_milliseconds", cpu}, {"wall_milliseconds", wall}};
  print_line(
      options.json,
      concat(photos.size(), " images", unread > 0 ? concat(" (", unread, " more files are none)") : "", ", ",
             crops.views(), crops.views() == 1 ? " view each, " : " views each, ", threads,
             threads == 1 ? " thread, " : " threads, ", crops.fused() ? augment::instruction_set() : "the exact way"));
  char text[128];
  std::snprintf(text, sizeof text, "%.1f images a second; for one %.3f ms of CPU time, %.3f ms of a thread's wall time",
                rate, cpu, wall);
  print_line(options.json, text);

  result["steps"] = nlohmann::json::array();
  for (const auto& [label, views, all_cpu, all_wall, added] : all) {
    std::snprintf(text, sizeof text, "%10.3f ms of CPU time  %s", median(added), label.c_str());
    print_line(options.json, text);
    result["steps"].push_back({{"step", label}, {"cpu_milliseconds", median(added)}});
  }
  write_result(options.json, result, /*warnings=*/{});
  return 0;
}

}  // namespace

int command_augment(const std::vector<std::string>& arguments) {
  constexpr const char* kUsage =
      "usage: unlabel augment preview PHOTO --out SHEET.png   views of an image on one sheet\n"
      "       unlabel augment replay PHOTO --out VIEW.png     one view as training saw it\n"
      "       unlabel augment bench FOLDER                    how many images a second\n"
      "\n"
      "Each takes --help.\n";
  if (arguments.empty()) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (arguments[0] == "preview") return preview(rest);
  if (arguments[0] == "replay") return replay(rest);
  if (arguments[0] == "bench") return bench(rest);
  if (arguments[0] == "--help" || arguments[0] == "-h") {
    std::fputs(kUsage, stdout);
    return 0;
  }
  throw UsageError("no command 'augment ", arguments[0], "'",
                   did_you_mean(arguments[0], {"preview", "replay", "bench"}), "; see unlabel augment --help");
}

}  // namespace unlabel::launch
