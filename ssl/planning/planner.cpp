#include <unlabel/augment/options.h>
#include <unlabel/ssl/planning/plan_builder.h>

#include <bit>
#include <charconv>
#include <cmath>

namespace unlabel::ssl {

using nlohmann::json;

json::json_pointer setting_pointer(std::string setting) {
  std::replace(setting.begin(), setting.end(), '.', '/');
  return json::json_pointer("/" + setting);
}

std::int64_t round_to(double value, std::int64_t step, std::int64_t least) {
  return std::max(least, static_cast<std::int64_t>(std::llround(value / static_cast<double>(step))) * step);
}

double round_to_2_digits(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::general, 2).ptr;
  std::from_chars(text, end, value);
  return value;
}

PlanBuilder::PlanBuilder(const PlanInput& input) : input_(input) {
  if (input.images < 2)
    throw UsageError("there is nothing to learn from: ", input.images, input.images == 1 ? " sample" : " samples",
                     "; two are the least, and thousands are better");
  plan_.recipe = input.given;
}

void PlanBuilder::put(const std::string& setting, const json& value) {
  try {
    plan_.recipe[setting_pointer(setting)] = value;
  } catch (const json::exception&) {
    const auto section = setting.substr(0, setting.find('.'));
    throw UsageError("'", section, "' cannot be ", plan_.recipe.at(section).dump(), ": it is a section of settings");
  }
}

std::int64_t PlanBuilder::global_size() {
  const int side = input_.median_short_side;
  if (const auto only = encoder_facts().only_size; only > 0)
    return choose<std::int64_t>("augment.global_size", only, "what this network takes");
  return choose<std::int64_t>("augment.global_size",
                              side >= 224 ? 224
                              : small()   ? side
                                          : side / 8 * 8,
                              side >= 224
                                  ? "the paper's; the images are larger"
                                  : concat("half of the images have a short side of ", side, " pixels or less"));
}

EncoderFacts encoder_facts_in(const json& settings, const EncoderFactsOf& facts_of) {
  return facts_of ? facts_of(find_setting<std::string>(settings, "encoder.arch").value_or("")) : EncoderFacts();
}

std::int64_t PlanBuilder::encoder() {
  const bool large = images() >= 100000 && !small();
  const auto arch = choose<std::string>("encoder.arch", large ? "resnet50" : "resnet18",
                                        large     ? "as published for ImageNet"
                                        : small() ? "small images"
                                                  : concat(images(), " images do not need a larger one"));
  if (encoder_facts().residual)
    choose<std::string>("encoder.stem", small() ? "small" : "imagenet",
                        small() ? "images of up to 64 pixels keep their resolution" : "images of more than 64 pixels");
  const auto width = find_setting<std::int64_t>(input_.given, "encoder.width").value_or(64);
  return (input_.encoder_facts ? input_.encoder_facts(arch) : EncoderFacts()).features_per_width * width;
}

void PlanBuilder::zero_init_residual() {
  if (encoder_facts().residual) choose<bool>("encoder.zero_init_residual", true, "as released");
}

std::int64_t PlanBuilder::batch_size() {
  const auto power = [](std::int64_t value) {
    return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(1, value))));
  };
  const auto few = power(images() / 16);
  const auto batch =
      choose<std::int64_t>("batch_size", std::min(power(images()), std::clamp<std::int64_t>(few, 32, 256)),
                           few >= 256  ? "small enough for one machine"
                           : few >= 32 ? "at least 16 updates an epoch"
                                       : "less is too little for batch statistics");
  if (batch < 1) throw UsageError("--batch-size must be at least 1, not ", batch);
  return batch;
}

std::int64_t PlanBuilder::epochs() {
  return choose<std::int64_t>("epochs",
                              images() >= 500000  ? 100
                              : images() >= 50000 ? 200
                                                  : 400,
                              images() >= 500000 ? "a short run; published ones of 200 to 1000 give some points more"
                                                 : "small data sets need more passes");
}

void require_optimizer(const std::string& kind) {
  const std::vector<std::string> kinds{"sgd", "lars", "larc", "adamw"};
  if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end())
    throw UsageError("optimizer.kind: no optimizer '", kind, "'", did_you_mean(kind, kinds),
                     "; there are sgd, lars, larc and adamw");
}

std::string PlanBuilder::optimizer(const std::string& kind, const std::string& reason, const std::string& kinds) {
  auto chosen = choose<std::string>("optimizer.kind", kind, reason);
  require_optimizer(chosen);
  if (chosen != kind && !find_setting<double>(input_.given, "optimizer.lr"))
    throw UsageError("--optimizer.kind ", chosen, " needs --optimizer.lr: rates are planned for ",
                     kinds.empty() ? kind : kinds, " only");
  return chosen;
}

void PlanBuilder::multi_crop(std::int64_t batch, std::int64_t epochs) {
  const bool few = few_updates(batch, epochs);
  const auto global = global_size();
  choose<std::string>("augment.preset", "swav", "flip, color jitter, gray and blur as in the paper");
  choose<std::int64_t>("augment.global_count", 2, "the paper's: two views give the targets");
  const auto locals =
      choose<std::int64_t>("augment.local_count", global < 24 || few || small() ? 0 : 6,
                           global < 24 ? "crops smaller than these show too little"
                           : few       ? concat(updates(batch, epochs), " updates are too few to learn from them")
                           : small()   ? "small images: as published recipes for CIFAR have it"
                                       : "more views at a small price (the paper's multi-crop)");
  if (locals > 0)
    choose<std::int64_t>(
        "augment.local_size",
        std::min(global, small() ? round_to(global * 0.5, 4, 8) : round_to(global * 96.0 / 224, 8, 32)),
        small() ? "half of the global crops" : "the paper's ratio, 96 to 224");
  if (small()) {
    large_crops(0.4);
    if (locals > 0)
      choose<std::vector<double>>("augment.local_scale", {0.05, 0.2}, "up to where the global crops begin");
    no_blur();
    choose<double>("augment.jitter", 0.5, "half the paper's, as published recipes for CIFAR have it");
  } else if (few) {
    const auto reason = concat("views with more in common than the paper's, for ", updates(batch, epochs), " updates");
    choose<std::vector<double>>("augment.global_scale", {0.4, 1.0}, reason);
    choose<bool>("augment.blur", false, reason);
    choose<double>("augment.jitter", 0.5, reason);
  }
}

void PlanBuilder::large_crops(double least) {
  choose<std::vector<double>>("augment.global_scale", {least, 1.0},
                              concat("small images: crops of less than ", least, " of the area show too little"));
}

void PlanBuilder::no_blur() { choose<bool>("augment.blur", false, "small images are blurred enough"); }

void PlanBuilder::two_views(std::vector<double> scale, double jitter) {
  global_size();
  choose<std::string>("augment.preset", "simclr", "two views: flip, color jitter, gray and blur");
  if (small()) {
    large_crops();
    no_blur();
    choose<double>("augment.jitter", 0.5, "half of SimCLR's, as published for CIFAR");
  } else {
    choose<std::vector<double>>("augment.global_scale", std::move(scale), "the paper's");
    choose<double>("augment.jitter", jitter, "the paper's");
  }
}

double PlanBuilder::proportional_lr(double published, std::int64_t batch) {
  return choose<double>("optimizer.lr", round_to_2_digits(published * static_cast<double>(batch) / 256),
                        concat("published: ", published, " for a batch of 256, in proportion"));
}

void PlanBuilder::larc(std::int64_t batch, std::int64_t epochs) {
  optimizer("larc", kAsPublished, "larc and sgd");
  const auto lr = choose<double>(
      "optimizer.lr", round_to_2_digits(0.6 * std::pow(static_cast<double>(batch) / 256, 0.75)),
      batch == 256    ? "published for a batch of 256"
      : batch == 4096 ? "published for a batch of 4096"
                      : concat("for a batch of ", batch, ", by the published 0.6 at 256 and 4.8 at 4096"));
  choose<double>("optimizer.weight_decay", 1e-6, "the paper's");
  choose<std::string>("schedule.kind", "cosine", "the paper's");
  choose<double>("schedule.final_lr", round_to_2_digits(lr / 1000), "a thousandth of the peak, as published");
  const double warmup = choose<double>(
      "schedule.warmup_epochs", batch >= 1024 ? std::min(10.0, static_cast<double>(epochs) / 10) : 0.0,
      batch >= 1024 ? "large batches begin slowly, as published" : "published batches of 256 do without");
  if (warmup > 0) choose<double>("schedule.warmup_start_lr", lr / 16, "as published: 0.3 before 4.8");
}

bool PlanBuilder::few_updates(std::int64_t batch, std::int64_t epochs) const {
  constexpr std::int64_t kFewUpdates = 5000;
  return updates(batch, epochs) < kFewUpdates;
}

std::int64_t PlanBuilder::updates(std::int64_t batch, std::int64_t epochs) const {
  return std::max<std::int64_t>(1, images() / batch) * epochs;
}

bool PlanBuilder::prefers_sgd(std::int64_t batch, std::int64_t epochs) const {
  const auto given = find_setting<std::string>(input_.given, "optimizer.kind");
  return given ? *given == "sgd" : few_updates(batch, epochs);
}

void PlanBuilder::sgd(std::int64_t batch, std::int64_t epochs, double rate, const std::string& published) {
  optimizer("sgd", concat("for ", updates(batch, epochs), " updates; the published ", published,
                          " would hardly move the weights in so few"));
  choose<double>("optimizer.lr", round_to_2_digits(rate * static_cast<double>(batch) / 256),
                 concat("measured on small data: ", rate, " for a batch of 256, in proportion"));
  choose<double>("optimizer.weight_decay", 5e-4, "that of our recipes for small data");
  choose<std::string>("schedule.kind", "cosine", "the paper's");
  choose<double>("schedule.final_lr", 0, "that of our recipes for small data");
  choose<double>("schedule.warmup_epochs", 0,
                 few_updates(batch, epochs) ? "short runs do without" : "that of our recipes for small data");
}

void PlanBuilder::larc_or_sgd(std::int64_t batch, std::int64_t epochs) {
  if (prefers_sgd(batch, epochs))
    sgd(batch, epochs, input_.median_short_side <= 32 ? 0.4 : 0.2, "LARC");
  else
    larc(batch, epochs);
}

std::pair<std::int64_t, std::string> PlanBuilder::clusters() const {
  return {std::max<std::int64_t>(
              2, std::min({std::int64_t{3000}, images() / 4, std::max<std::int64_t>(64, images() / 100)})),
          images() >= 300000 ? "the paper's"
          : images() >= 6400 ? "one for 100 images"
          : images() >= 256  ? "few images: 64 classes to tell apart are still useful"
                             : "few images: one for four of them"};
}

Plan PlanBuilder::take() {
  choose<std::string>("precision", "auto", "bf16 where the device has instructions for it, else float32");
  return std::move(plan_);
}

Plan make_plan(const MethodPlan& method, const PlanInput& input) {
  if (!input.given.is_object()) throw UsageError("the given settings must be a JSON object");
  if (!method.plan)
    throw UsageError("there is no plan for the method '", find_setting<std::string>(input.given, "method").value_or(""),
                     "'; give a --recipe");
  auto plan = method.plan(input);
  plan.warnings = plan_warnings(method, plan.recipe, input.images, input.median_short_side, input.encoder_facts);
  return plan;
}

std::vector<std::string> plan_warnings(const MethodPlan& method, const json& settings, std::int64_t images,
                                       int median_short_side, const EncoderFactsOf& encoder_facts) {
  std::vector<std::string> warnings;
  const auto warn = [&](const auto&... parts) { warnings.push_back(concat(parts...)); };
  const auto number = [&](const std::string& setting) { return find_setting<std::int64_t>(settings, setting); };
  const auto batch = number("batch_size"), epochs = number("epochs");
  const bool from_weights = !find_setting<std::string>(settings, "init").value_or("").empty();
  const auto name = find_setting<std::string>(settings, "method").value_or("");

  if (images < 1000 && !from_weights)
    warn("only ", images, " images: too few to learn much from; start from released weights with --init");
  // On 2,000 images some methods gain less than two points over the untrained encoder in 30 updates, all gain about three or more in 100,
  // and all but DeepCluster, which needs no more than 30, more in 300 (docs/results.md, plans in few steps).
  constexpr std::int64_t kUpdatesThatLearn = 300;
  if (batch && *batch > 0 && epochs && *epochs > 0 && !from_weights) {
    const auto each = std::max<std::int64_t>(1, images / *batch);
    const auto enough = (kUpdatesThatLearn + each - 1) / each;
    if (*epochs < (method.fewest_updates + each - 1) / each)
      warn(each * *epochs, " updates are too few to learn much: --epochs ", enough, " makes ", each * enough);
  }
  if (batch && *batch > images)
    warn("a batch of ", *batch, " is larger than the data of ", images, " images: give --batch-size ", images,
         " or less");
  if (batch && *batch > 0 && *batch < 32 && images >= 32)
    warn("a batch of ", *batch, " is small for batch statistics", name == "swav" ? " and Sinkhorn" : "",
         ": 32 or more work better");
  if (method.warnings)
    for (auto& warning : method.warnings(settings, images)) warnings.push_back(std::move(warning));
  for (const char* setting : {"global", "local"})
    if (const auto size = number(concat("augment.", setting, "_size"));
        size && median_short_side > 0 && *size > median_short_side)
      warn("crops of ", *size, " pixels from images with a median short side of ", median_short_side,
           " are only enlarged: ",
           encoder_facts_in(settings, encoder_facts).only_size > 0
               ? "give a ResNet, which takes smaller ones"
               : concat("give --augment.", setting, "-size ", median_short_side, " or less"));
  return warnings;
}

}  // namespace unlabel::ssl
