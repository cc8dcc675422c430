#include <unlabel/augment/ops/normalize.h>
#include <unlabel/augment/transforms/normalize.h>
#include <unlabel/augment/transforms/work_image.h>

namespace unlabel::augment {

OptionTable table(Normalize& o) { return {{"mean", o.mean, "one a channel"}, {"std", o.std, "one a channel"}}; }

void validate(const Normalize& o, const std::string& where) {
  if (o.mean.size() != o.std.size() || o.mean.empty() || o.mean.size() > 3)
    throw UsageError(where, ": mean and std must have one number a channel, not ", o.mean.size(), " and ",
                     o.std.size());
  for (const double value : o.std)
    if (!(value > 0)) throw UsageError(where, ": std must be positive, not ", value);
}

ImageInfo info_after(const Normalize& o, ImageInfo info, const std::string& where) {
  if (info.normalized) throw UsageError(where, ": the image is normalized already");
  if (o.mean.size() != static_cast<std::size_t>(info.channels))
    throw UsageError(where, ": has ", o.mean.size(), " means, but the image has ", info.channels, " channels");
  info.normalized = true;
  return info;
}

void apply(const Normalize& o, const NoParams&, WorkImage& work) {
  work.make_float();
  work.change([&](const cv::Mat& in, cv::Mat& out) { normalize(in, o.mean, o.std, out); });
}

}  // namespace unlabel::augment
