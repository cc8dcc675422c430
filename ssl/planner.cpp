#include <unlabel/augment/error.h>
#include <unlabel/ssl/planner.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>

namespace unlabel::ssl {

namespace {

using nlohmann::json;

json::json_pointer pointer(std::string setting) {
  std::replace(setting.begin(), setting.end(), '.', '/');
  return json::json_pointer("/" + setting);
}

template <class T>
std::optional<T> find(const json& settings, const std::string& setting) {
  const auto place = pointer(setting);
  if (!settings.contains(place) || settings.at(place).is_null()) return std::nullopt;
  T value;
  try {
    value = settings.at(place).get<T>();
  } catch (const json::exception&) {
    throw UsageError("'", setting, "' cannot be ", settings.at(place).dump());
  }
  if constexpr (std::is_same_v<T, std::int64_t>)  // so that products of two can be counted
    if (value > std::numeric_limits<std::int32_t>::max() || value < std::numeric_limits<std::int32_t>::min())
      throw UsageError("--", setting, " cannot be ", value, ": the most is ", std::numeric_limits<std::int32_t>::max());
  return value;
}

/// Collects choices; what was given comes first.
class Planner {
 public:
  explicit Planner(const json& given) : given_(given) { plan_.recipe = given; }

  template <class T>
  T choose(const std::string& setting, T value, const std::string& reason) {
    if (const auto fixed = find<T>(given_, setting)) return *fixed;
    plan_.recipe[pointer(setting)] = value;
    plan_.choices.push_back({setting, plan_.recipe[pointer(setting)], reason});
    return value;
  }

  Plan take() { return std::move(plan_); }

 private:
  json given_;
  Plan plan_;
};

std::int64_t round_to(double value, std::int64_t step, std::int64_t least) {
  return std::max(least, static_cast<std::int64_t>(std::llround(value / static_cast<double>(step))) * step);
}

/// The value with two significant digits, as a person would write it (0.00013).
double two_digits(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::general, 2).ptr;
  std::from_chars(text, end, value);
  return value;
}

}  // namespace

Plan plan_swav(const PlanInput& input) {
  const std::int64_t images = input.images;
  const int side = input.median_short_side;
  if (images < 2 || side < 1)
    throw UsageError("a plan needs images: there are ", images, ", with a median short side of ", side, " pixels");
  if (!input.given.is_object()) throw UsageError("the given settings must be a JSON object");
  Planner plan(input.given);
  plan.choose<std::string>("method", "swav", "the method that is planned");

  // Images and network.
  const bool small = side <= 64;
  const std::int64_t fitting = side >= 224 ? 224 : small ? side : side / 8 * 8;
  const auto global = plan.choose<std::int64_t>(
      "augment.global_size", fitting,
      side >= 224 ? "the paper's; the images are larger"
                  : concat("half of the images have a short side of ", side, " pixels or less"));
  plan.choose<std::string>("augment.preset", "swav", "flip, colour jitter, grey and blur as in the paper");
  plan.choose<std::int64_t>("augment.global_count", 2, "the paper's: two views give the targets");
  const auto locals = plan.choose<std::int64_t>("augment.local_count",
                                                global < 24 ? 0
                                                : small     ? 4
                                                            : 6,
                                                global < 24 ? "crops smaller than these show too little"
                                                            : "more views at a small price (the paper's multi-crop)");
  if (locals > 0)
    plan.choose<std::int64_t>(
        "augment.local_size",
        std::min(global, small ? round_to(global * 0.5, 4, 8) : round_to(global * 96.0 / 224, 8, 32)),
        small ? "half of the global crops" : "the paper's ratio, 96 to 224");
  if (small) {
    plan.choose<std::vector<double>>("augment.global_scale", {0.2, 1.0},
                                     "small images: crops of less than a fifth show too little");
    if (locals > 0)
      plan.choose<std::vector<double>>("augment.local_scale", {0.05, 0.2}, "up to where the global crops begin");
    plan.choose<bool>("augment.blur", false, "small images are blurred enough");
    plan.choose<double>("augment.jitter", 0.5, "half the paper's, as published recipes for CIFAR have it");
  }
  const auto arch = plan.choose<std::string>("encoder.arch", images >= 100000 && !small ? "resnet50" : "resnet18",
                                             images >= 100000 && !small ? "the paper's"
                                             : small                    ? "small images"
                                                     : concat(images, " images do not need a larger one"));
  plan.choose<std::string>("encoder.stem", small ? "small" : "imagenet",
                           small ? "images of up to 64 pixels keep their resolution" : "images of more than 64 pixels");
  const auto width = find<std::int64_t>(input.given, "encoder.width").value_or(64);

  // Batch, length, learning rate.
  const auto few =
      static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(1, images / 16))));
  const auto all = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(images)));
  const auto batch = plan.choose<std::int64_t>("batch_size", std::min(all, std::clamp<std::int64_t>(few, 32, 256)),
                                               few >= 256  ? "the smaller of the two published sizes"
                                               : few >= 32 ? "at least 16 updates an epoch"
                                                           : "less is too little for batch statistics and Sinkhorn");
  if (batch < 1) throw UsageError("--batch-size must be at least 1, not ", batch);
  const std::int64_t steps = std::max<std::int64_t>(1, images / batch);
  const auto epochs =
      plan.choose<std::int64_t>("epochs",
                                images >= 500000  ? 100
                                : images >= 50000 ? 200
                                                  : 400,
                                images >= 500000 ? "the shortest published run; 200 to 800 give up to 3 points more"
                                                 : "small data sets need more passes");
  const auto kind = plan.choose<std::string>("optimizer.kind", "larc", "the paper's");
  if (kind != "larc" && !find<double>(input.given, "optimizer.lr"))
    throw UsageError("--optimizer.kind ", kind, " needs --optimizer.lr: rates are planned for larc only");
  const double rate = two_digits(0.6 * std::pow(static_cast<double>(batch) / 256, 0.75));
  const auto lr = plan.choose<double>(
      "optimizer.lr", rate,
      batch == 256    ? "published for a batch of 256"
      : batch == 4096 ? "published for a batch of 4096"
                      : concat("for a batch of ", batch, ", by the published 0.6 at 256 and 4.8 at 4096"));
  plan.choose<double>("optimizer.weight_decay", 1e-6, "the paper's");
  plan.choose<std::string>("schedule.kind", "cosine", "the paper's");
  plan.choose<double>("schedule.final_lr", two_digits(lr / 1000), "a thousandth of the peak, as published");
  const double warmup = plan.choose<double>(
      "schedule.warmup_epochs", batch >= 1024 ? std::min(10.0, static_cast<double>(epochs) / 10) : 0.0,
      batch >= 1024 ? "large batches begin slowly, as published" : "published batches of 256 do without");
  if (warmup > 0) plan.choose<double>("schedule.warmup_start_lr", lr / 16, "as published: 0.3 before 4.8");

  // Prototypes.
  const auto prototypes = plan.choose<std::int64_t>(
      "swav.prototypes",
      std::max<std::int64_t>(2, std::min({std::int64_t{3000}, images / 4, std::max<std::int64_t>(64, images / 100)})),
      images >= 300000 ? "the paper's"
      : images >= 6400 ? "one for 100 images"
      : images >= 256  ? "few images: 64 classes to tell apart are still useful"
                       : "few images: one for four of them");
  const std::int64_t features = (arch == "resnet18" || arch == "resnet34" ? 8 : 32) * width;
  plan.choose<std::int64_t>("swav.hidden_dim", features, "as many as the features of the encoder");
  plan.choose<std::int64_t>("swav.freeze_prototypes_iterations", std::min(steps, steps * epochs / 2),
                            "the first epoch, as published");
  const std::int64_t queued =
      static_cast<std::int64_t>(std::ceil(1.28 * static_cast<double>(prototypes) / static_cast<double>(batch)));
  const bool queue = prototypes > 2 * batch && queued * batch <= images;
  const auto length = plan.choose<std::int64_t>(
      "swav.queue_length", queue ? queued * batch : 0,
      queue                    ? concat(prototypes, " prototypes are many for a batch of ", batch)
      : prototypes > 2 * batch ? "there are too few images to fill one"
                               : concat(prototypes, " prototypes are few enough for a batch of ", batch));
  if (length > 0)
    plan.choose<std::int64_t>("swav.queue_start_epoch", std::min<std::int64_t>(15, epochs / 8),
                              "early embeddings are of no use; published: 15 of 200 epochs");

  Plan result = plan.take();
  result.warnings = swav_warnings(result.recipe, images, side);
  return result;
}

std::vector<std::string> swav_warnings(const json& settings, std::int64_t images, int median_short_side) {
  std::vector<std::string> warnings;
  const auto warn = [&](const auto&... parts) { warnings.push_back(concat(parts...)); };
  const auto number = [&](const char* setting) { return find<std::int64_t>(settings, setting); };
  const auto batch = number("batch_size"), epochs = number("epochs"), prototypes = number("swav.prototypes");
  const auto queue = number("swav.queue_length"), start = number("swav.queue_start_epoch");
  const auto freeze = number("swav.freeze_prototypes_iterations");
  const bool usable = batch && *batch > 0;
  const std::int64_t length = usable && queue ? *queue - *queue % *batch : 0;

  if (images < 1000)
    warn("only ", images, " images: too few to learn much from; start from released weights with --init");
  if (usable && *batch > images)
    warn("a batch of ", *batch, " is larger than the data of ", images, " images: give --batch-size ", images,
         " or less");
  if (usable && *batch < 32)
    warn("a batch of ", *batch, " is small for batch statistics and Sinkhorn: 32 or more work better");
  if (prototypes && *prototypes > images)
    warn(*prototypes, " prototypes for ", images, " images: give fewer than images, --swav.prototypes ",
         std::max<std::int64_t>(2, images / 4));
  if (prototypes && usable && *prototypes > 4 * (*batch + length))
    warn(*prototypes, " prototypes for ", *batch + length,
         " assigned samples (batch and queue): most get none; give fewer, a larger batch or "
         "--swav.queue_length ",
         (*prototypes * 128 / 100 + *batch - 1) / *batch * *batch);
  if (queue && *queue > 0 && usable && length == 0)
    warn("a queue of ", *queue, " is shorter than a batch of ", *batch,
         " and is not used: give 0, or a multiple of the batch");
  if (length > images)
    warn("a queue of ", length, " is longer than the data of ", images, " images: its embeddings are stale");
  if (length > 0 && epochs && start && *start >= *epochs)
    warn("the queue starts at epoch ", *start, " of ", *epochs,
         " and is never used: give a smaller --swav.queue_start_epoch");
  if (freeze && usable && epochs && *batch <= images && *freeze >= images / *batch * *epochs)
    warn("the prototypes are frozen for ", *freeze, " iterations, the whole run of ", images / *batch * *epochs,
         ": give a smaller --swav.freeze_prototypes_iterations");
  for (const char* setting : {"global", "local"})
    if (const auto size = number(concat("augment.", setting, "_size").c_str()); size && *size > median_short_side)
      warn("crops of ", *size, " pixels from images with a median short side of ", median_short_side,
           " are only enlarged: give --augment.", setting, "-size ", median_short_side, " or less");
  return warnings;
}

}  // namespace unlabel::ssl
