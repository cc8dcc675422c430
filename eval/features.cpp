#include <unlabel/augment/error.h>
#include <unlabel/data/collate.h>
#include <unlabel/data/sampler.h>
#include <unlabel/eval/features.h>
#include <unlabel/ssl/group.h>
#include <unlabel/ssl/layers/eval_mode.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/optim/autocast.h>

#include <c10/core/GradMode.h>
#include <torch/cuda.h>
#include <torch/types.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <numeric>
#include <optional>

namespace unlabel::eval {
namespace {

constexpr std::int64_t kGatherBlock = 16384;  // rows

// All `rows`, of which `local` holds this rank's RankRange, padded to the same number of rows on every rank.
at::Tensor gather_rows(const at::Tensor& local, std::int64_t rows, const ssl::Group& group, const at::Device& device) {
  if (group.world_size() == 1) return local.narrow(0, 0, rows);
  const auto each = local.size(0);
  auto sizes = local.sizes().vec();
  sizes.insert(sizes.begin(), group.world_size());
  at::Tensor all;
  ssl::run_on_all_ranks(group, [&] { all = torch::empty(sizes, local.options()); });
  for (std::int64_t begin = 0; begin < each; begin += kGatherBlock) {
    const auto count = std::min(kGatherBlock, each - begin);
    auto part = group.all_gather(local.narrow(0, begin, count).contiguous().to(device)).cpu();
    all.narrow(1, begin, count).copy_(part.unflatten(0, {group.world_size(), count}));
  }
  return all.flatten(0, 1).narrow(0, 0, rows).contiguous();
}

// `name`: "training ", "test " or nothing.
void require_finite(const Features& features, const std::string& name) {
  const auto finite = features.values.isfinite().all(1);
  if (!finite.all().item<bool>())
    throw Error("features of ", (~finite).sum().item<std::int64_t>(), " of ", features.size(), " ", name,
                "images are not finite: the encoder's weights are broken");
}

Features collect(std::shared_ptr<const data::Dataset> dataset, std::vector<std::int64_t> samples,
                 const augment::MultiCrop& view, const FeatureOptions& options, const ssl::Group& group,
                 std::int64_t dim, const std::function<at::Tensor(const at::Tensor&)>& encode_batch) {
  if (view.views() != 1)
    throw UsageError("features are computed from one view per image, and this pipeline makes ", view.views());
  if (samples.empty()) {
    samples.resize(dataset->size());
    std::iota(samples.begin(), samples.end(), 0);
  }
  if (samples.empty()) throw UsageError("no images to compute features of in ", dataset->description());
  if (options.batch_size < 1)
    throw UsageError("the batch size for features must be at least 1, not ", options.batch_size);
  if (options.broken != "fail" && options.broken != "skip")
    throw UsageError("broken = '", options.broken, "' is not known: use fail or skip");
  const auto device = parse_device(options.device);

  const auto rows = static_cast<std::int64_t>(samples.size());
  const RankRange range(rows, group);
  const auto own_rows = range.end - range.begin;
  at::Tensor values, usable;
  Features features;

  std::optional<data::Loader> loader;
  std::int64_t row = 0;
  const auto encode_until_pause = [&] {
    const auto pause = std::chrono::steady_clock::now() + options.retry_time / 2;
    while (row < own_rows && std::chrono::steady_clock::now() < pause) {
      const auto batch = loader->next();
      if (!batch) throw Error("the loader ended after ", row, " of ", own_rows, " images");
      const auto count = static_cast<std::int64_t>(batch->indices.size());
      values.narrow(0, row, count).copy_(encode_batch(data::collate(*batch).views().front()));
      usable.narrow(0, row, count).fill_(1);
      for (const auto& broken : batch->replacements) {
        if (options.broken == "fail")
          throw Error("cannot measure on a broken image: ", broken.name, ": ", broken.reason,
                      "; repair or remove it, or leave such images out with --features.broken skip");
        const auto at = std::find(batch->indices.begin(), batch->indices.end(), broken.index) - batch->indices.begin();
        usable[row + at] = 0;
      }
      row += count;
    }
  };
  ssl::run_on_all_ranks(group, [&] {
    values = torch::zeros({range.each, dim});
    usable = torch::zeros({range.each}, torch::kUInt8);
    loader.emplace(dataset, view, loader_options(options), options.decode);
    if (own_rows > 0) loader->start({samples.begin() + range.begin, samples.begin() + range.end}, options.batch_size);
  });
  // Ranks meet at each pause: one that has finished would otherwise wait for a slower one longer than the time limit of a collective.
  do {
    ssl::run_on_all_ranks(group, encode_until_pause);
  } while (ssl::all_reduce_any(group, row < own_rows));
  features.decoded = all_reduce(loader->decode_report(), group);

  features.values = gather_rows(values, rows, group, device);
  usable = gather_rows(usable, rows, group, device);
  features.indices = torch::tensor(samples, torch::kInt64);
  static_cast<Labels&>(features) = labels_of(*dataset, features.indices);
  features.skipped = rows - usable.sum().item<std::int64_t>();
  if (features.skipped > 0) {
    const auto kept = usable.nonzero().flatten();
    features.values = features.values.index_select(0, kept);
    features.labels = features.labels.index_select(0, kept);
    features.indices = features.indices.index_select(0, kept);
  }
  require_finite(features, "");
  return features;
}

}  // namespace

RankRange::RankRange(std::int64_t rows, const ssl::Group& group)
    : each((rows + group.world_size() - 1) / group.world_size()),
      begin(std::min(rows, each * group.rank())),
      end(std::min(rows, begin + each)) {}

augment::DecodeReport all_reduce(augment::DecodeReport report, const ssl::Group& group) {
  const auto& host = group.cpu_group();
  const auto options = torch::TensorOptions(torch::kInt64).device(host.device());
  auto sums = torch::tensor({report.warnings, report.deep_images}, options);
  auto extremes = torch::tensor({std::int64_t{report.highest}, -std::int64_t{report.lowest}}, options);
  host.all_reduce_sum(sums);
  host.all_reduce_max(extremes);
  report.warnings = sums[0].item<std::int64_t>();
  report.deep_images = sums[1].item<std::int64_t>();
  report.highest = static_cast<int>(extremes[0].item<std::int64_t>());
  report.lowest = static_cast<int>(-extremes[1].item<std::int64_t>());
  return report;
}

data::LoaderOptions loader_options(const FeatureOptions& options) {
  data::LoaderOptions loading;
  loading.threads = options.threads;
  loading.retry_time = options.retry_time;
  return loading;
}

OptionTable table(FeatureOptions& o) {
  OptionTable t;
  t.add("batch_size", o.batch_size, "images encoded at once on each rank");
  t.add("threads", o.threads, "decoding threads on each rank");
  t.add("precision", o.precision,
        "float32, bf16, fp16, or auto: bf16 where the device has instructions for it, else float32");
  t.add("broken", o.broken, "an image that cannot be decoded: fail, or skip");
  return t;
}

Features extract_features(ssl::Encoder& encoder, std::shared_ptr<const data::Dataset> dataset,
                          const augment::MultiCrop& view, const FeatureOptions& options, const ssl::Group& group,
                          std::vector<std::int64_t> samples) {
  const ssl::EvalModeGuard eval_mode(encoder);
  return collect(std::move(dataset), std::move(samples), view, options, group, encoder.feature_dim(),
                 [&](const at::Tensor& images) { return encode(encoder, images, options.precision, options.device); });
}

Features pixel_features(std::shared_ptr<const data::Dataset> dataset, const augment::MultiCrop& view,
                        const FeatureOptions& options, const ssl::Group& group) {
  const auto dim = view.views() == 1 ? static_cast<std::int64_t>(view.shape(0).size()) : 0;
  return collect(std::move(dataset), {}, view, options, group, dim,
                 [](const at::Tensor& images) { return images.flatten(1); });
}

void center(Features& train, Features& test) {
  const auto mean = train.values.mean(0, /*keepdim=*/true, torch::kFloat64).to(train.values.scalar_type());
  train.values = train.values - mean;
  test.values = test.values - mean;
}

std::vector<std::int64_t> choose_samples(std::int64_t n, std::int64_t limit, std::uint64_t seed) {
  std::vector<std::int64_t> samples(std::max<std::int64_t>(0, std::min(n, limit)));
  std::iota(samples.begin(), samples.end(), 0);
  if (limit < n && limit > 0) {
    const data::Permutation order(n, seed, 0);
    for (auto& sample : samples) sample = static_cast<std::int64_t>(order(sample));
    std::sort(samples.begin(), samples.end());
  }
  return samples;
}

void require_valid(const Features& train, const Features& test) {
  require_labeled(train, test);
  require_finite(train, "training ");
  require_finite(test, "test ");
  if (train.dim() != test.dim())
    throw UsageError("training features have ", train.dim(), " dimensions and test features ", test.dim(),
                     ": compute both with the same encoder and view");
}

at::Tensor encode(ssl::Encoder& encoder, const at::Tensor& images, const std::string& precision,
                  const std::string& device) {
  const torch::NoGradGuard no_grad;
  const auto target = parse_device(device);
  const ssl::Autocast autocast(target.type(), ssl::autocast_type(precision));
  const auto parameters = encoder.parameters();
  const auto weights = parameters.empty() ? images.scalar_type() : parameters.front().scalar_type();
  const auto input = images.to(target, weights).contiguous(at::MemoryFormat::ChannelsLast);
  return encoder.encode({{{"images", input}}, {}}).pooled.to(torch::kFloat32).contiguous();
}

at::Device parse_device(const std::string& name) {
  std::optional<at::Device> device;
  try {
    device.emplace(name);
  } catch (const c10::Error&) {
  }
  if (!device || !(device->is_cpu() || device->is_cuda()))
    throw UsageError("device '", name, "' is not known: use cpu, cuda or cuda:N");
  if (device->is_cuda() && (!torch::cuda::is_available() || device->index() >= int(torch::cuda::device_count())))
    throw UsageError("device '", name, "' is not available: LibTorch finds ", torch::cuda::device_count(),
                     " CUDA devices; use --device cpu");
  return *device;
}

}  // namespace unlabel::eval
