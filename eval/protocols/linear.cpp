#include <unlabel/augment/error.h>
#include <unlabel/data/collate.h>
#include <unlabel/data/loader.h>
#include <unlabel/data/sampler.h>
#include <unlabel/eval/encode.h>
#include <unlabel/eval/protocols/linear.h>
#include <unlabel/eval/report/report.h>
#include <unlabel/ssl/group.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/optim/schedule.h>

#include <c10/core/GradMode.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <exception>

namespace unlabel::eval {
namespace {

// This rank's samples of an epoch, step after step. Step t takes order[tB, (t+1)B), split into the RankRanges of a full batch B; the last
// batch may be smaller.
std::vector<std::int64_t> own_samples(std::int64_t n, std::int64_t batch, const data::Permutation& order,
                                      const RankRange& range) {
  std::vector<std::int64_t> samples;
  for (std::int64_t first = 0; first < n; first += batch)
    for (auto i = first + range.begin; i < std::min(n, first + range.end); ++i)
      samples.push_back(static_cast<std::int64_t>(order(i)));
  return samples;
}

bool as_published(const LinearProbeOptions& o) {
  const LinearProbeOptions published;
  return o.epochs == published.epochs && o.batch_size == published.batch_size && o.lr == published.lr &&
         o.momentum == published.momentum && o.weight_decay == published.weight_decay;
}

}  // namespace

void require_valid(const LinearProbeOptions& o) {
  if (o.epochs < 1) throw UsageError("the linear probe needs at least 1 epoch, not ", o.epochs);
  if (o.batch_size < 1) throw UsageError("the linear probe's batch size must be at least 1, not ", o.batch_size);
  if (!(o.lr > 0)) throw UsageError("the linear probe's learning rate must be positive, not ", o.lr);
  if (!(o.momentum >= 0 && o.momentum < 1)) throw UsageError("momentum must be in [0, 1), not ", o.momentum);
  if (o.features.broken != "fail")
    throw UsageError("the linear probe trains on every image, and features.broken is '", o.features.broken,
                     "'; repair or remove broken images");
  if (!(o.weight_decay >= 0)) throw UsageError("weight decay must not be negative, and it is ", o.weight_decay);
}

OptionTable table(LinearProbeOptions& o) {
  OptionTable t;
  t.add("epochs", o.epochs, "passes over the training images");
  t.add("batch_size", o.batch_size, "over all ranks");
  t.add("lr", o.lr, "for a batch of 256; scales with the batch");
  t.add("momentum", o.momentum, "of SGD");
  t.add("weight_decay", o.weight_decay, "of the layer's weight and bias");
  return t;
}

LinearProbeResult linear_probe(ssl::Encoder& encoder, std::shared_ptr<const data::Dataset> train,
                               std::shared_ptr<const data::Dataset> test, const augment::MultiCrop& train_view,
                               const augment::MultiCrop& test_view, const LinearProbeOptions& options,
                               const ssl::Group& group, const std::function<void(const LinearProbeEpoch&)>& on_epoch) {
  const auto started = std::chrono::steady_clock::now();
  require_valid(options);
  const auto device = parse_device(options.features.device);
  if (train_view.views() != 1)
    throw UsageError("the linear probe trains on one view per image, not ", train_view.views());
  const auto train_labels = labels_of(*train);
  const auto test_labels = labels_of(*test);
  require_labeled(train_labels, test_labels);
  const auto targets = make_targets(train_labels, test_labels);
  const EvalModeGuard eval_mode(encoder);

  // Frozen encoder, fixed view: the test features never change.
  const auto test_features = extract_features(encoder, test, test_view, options.features, group);
  const auto classes = targets.classes();
  const auto dim = encoder.feature_dim();
  const auto n = train->size();

  LinearProbeResult result;
  result.set_sizes(targets);
  if (as_published(options)) result.protocol = "swav";
  result.epochs = options.epochs;
  result.batch_size = std::min(options.batch_size, n);
  result.lr = options.lr * double(result.batch_size) / 256;

  auto layer = torch::zeros({classes, dim + 1});  // the weight, and the bias as the last column
  layer.narrow(1, 0, dim).normal_(0, 0.01, at::detail::createCPUGenerator(options.seed));
  layer = layer.to(device).set_requires_grad(true);
  torch::optim::SGD sgd(
      {layer}, torch::optim::SGDOptions(result.lr).momentum(options.momentum).weight_decay(options.weight_decay));
  const auto logits_of = [&](const at::Tensor& features) {
    return torch::addmm(layer.select(1, dim), features, layer.narrow(1, 0, dim).t());
  };

  auto loading = loader_options(options.features);
  loading.seed = options.seed;
  data::Loader loader(train, train_view, loading, options.features.decode);
  const auto steps = (n + result.batch_size - 1) / result.batch_size;
  const RankRange range(result.batch_size, group);
  const ssl::Schedule rate(/*cosine to 0*/ {}, result.lr, /*steps_per_epoch=*/1, options.epochs);
  for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    LinearProbeEpoch report;
    report.epoch = epoch;
    report.lr = rate(epoch);
    static_cast<torch::optim::SGDOptions&>(sgd.param_groups()[0].options()).lr(report.lr);
    const auto samples = own_samples(n, result.batch_size, data::Permutation(n, options.seed, epoch), range);
    if (!samples.empty()) loader.start(samples, range.end - range.begin, epoch);

    for (std::int64_t step = 0; step < steps; ++step) {
      const auto count = std::min(result.batch_size, n - step * result.batch_size);
      const auto own = std::min(count, range.end) - std::min(count, range.begin);
      // The gradient, then the loss, the number of right predictions, and 1 from a rank that has failed.
      auto sums = torch::zeros({layer.numel() + 3}, torch::TensorOptions(device));
      std::exception_ptr failure;
      try {
        if (own > 0) {
          const auto batch = loader.next();
          UNLABEL_INVARIANT(batch && static_cast<std::int64_t>(batch->indices.size()) == own);
          if (!batch->replacements.empty()) {
            const auto& broken = batch->replacements.front();
            throw Error("cannot measure on a broken image: ", broken.name, ": ", broken.reason,
                        "; repair or remove it");
          }
          const auto images = data::collate(*batch);
          const auto features =
              encode(encoder, images.views().front(), options.features.precision, options.features.device);
          const auto wanted = targets.train.index_select(0, images.indices).to(device);
          const auto logits = logits_of(features);
          const auto loss = at::cross_entropy_loss(logits, wanted, /*weight=*/{}, at::Reduction::Sum);
          layer.mutable_grad() = at::Tensor();
          loss.backward();
          const torch::NoGradGuard no_grad;
          sums.narrow(0, 0, layer.numel()).copy_(layer.grad().flatten());
          sums[layer.numel()] = loss.detach();
          sums[layer.numel() + 1] = count_top_k(logits.detach(), wanted).top1;
        }
      } catch (...) {
        failure = std::current_exception();
        sums.zero_();
        sums[layer.numel() + 2] = 1;
      }
      group.all_reduce_sum(sums);
      const auto tail = sums.narrow(0, layer.numel(), 3).cpu();
      if (tail[2].item<float>() > 0)
        ssl::run_on_all_ranks(group, [&] {
          if (failure) std::rethrow_exception(failure);
        });
      layer.mutable_grad() = (sums.narrow(0, 0, layer.numel()) / double(count)).view_as(layer);
      sgd.step();
      report.loss += tail[0].item<double>() / double(n);
      report.train_accuracy += tail[1].item<double>() / double(n);
    }

    if (!std::isfinite(report.loss))
      throw Error("the linear probe diverged in epoch ", epoch + 1, " of ", options.epochs,
                  ": its loss is not finite; lower --swav.lr from ", options.lr);
    const torch::NoGradGuard no_grad;
    auto measured = result;
    measured.set_counts(count_top_k(test_features.values, targets.test,
                                    [&](const at::Tensor& rows) { return logits_of(rows.to(device)); }));
    measured.best_epoch = epoch;
    report.accuracy = measured.accuracy;
    report.accuracy_top5 = measured.accuracy_top5;
    if (epoch == 0 || measured.accuracy > result.accuracy) result = measured;
    result.last_accuracy = report.accuracy;
    result.last_accuracy_top5 = report.accuracy_top5;
    result.last_loss = report.loss;
    if (on_epoch) on_epoch(report);
  }
  const auto final_layer = layer.detach().cpu();
  result.class_labels = targets.class_labels;
  result.weight = final_layer.narrow(1, 0, dim).contiguous();
  result.bias = final_layer.select(1, dim).contiguous();
  result.decoded = all_reduce(loader.decode_report(), group);
  result.decoded += test_features.decoded;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return result;
}

augment::MultiCrop linear_train_view(const augment::MultiCrop& test_view) {
  if (test_view.views() != 1)
    throw UsageError("a test view is one view per image, and this pipeline makes ", test_view.views());
  const auto shape = test_view.shape(0);
  augment::RandomResizedCrop crop;
  crop.size = {shape.height, shape.width};
  std::vector<augment::Transform> steps{crop, augment::RandomHorizontalFlip{}};
  for (const auto& step : test_view.pipeline(0).steps())
    if (!std::holds_alternative<augment::Resize>(step) && !std::holds_alternative<augment::CenterCrop>(step))
      steps.push_back(step);
  return augment::MultiCrop({{1, augment::Pipeline(std::move(steps))}});
}

Report report(const LinearProbeResult& result) {
  auto report = classification_report("linear_accuracy", "linear",
                                      concat("best epoch, ", result.best_epoch + 1, " of ", result.epochs,
                                             "; last epoch ", percent(result.last_accuracy)),
                                      result);
  report.json["epochs"] = result.epochs;
  report.json["batch_size"] = result.batch_size;
  report.json["lr"] = result.lr;
  report.json["best_epoch"] = result.best_epoch;
  report.json["last_value"] = result.last_accuracy;
  report.json["last_top5"] = or_null(result.last_accuracy_top5);
  if (auto warning = augment::range_warning(result.decoded); !warning.empty())
    report.warnings.push_back(std::move(warning));
  return report;
}

ProtocolSpec linear_probe_protocol() {
  ProtocolSpec spec{
      "linear", "swav",
      "SGD on augmented images for 100 epochs; test accuracy of the best epoch (Caron et al. 2020, arXiv:2006.09882)",
      "swav"};
  spec.options = AnyOptions(LinearProbeOptions());
  spec.check = [](const AnyOptions& given) { require_valid(given.get<LinearProbeOptions>()); };
  spec.run_on_images = [](const AnyOptions& given, const ProtocolImages& images, const ProtocolContext& context) {
    auto options = given.get<LinearProbeOptions>();
    options.seed = context.seed;
    options.features = context.features;
    const auto on_epoch = [&](const LinearProbeEpoch& epoch) {
      context.progress(concat("epoch ", epoch.epoch + 1, "  loss ", epoch.loss, "  test ", percent(epoch.accuracy)));
    };
    return report(linear_probe(images.encoder, images.train, images.test, linear_train_view(images.view), images.view,
                               options, context.group, on_epoch));
  };
  return spec;
}

}  // namespace unlabel::eval
