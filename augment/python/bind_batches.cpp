#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/mix.h>
#include <unlabel/augment/ops/random_shift.h>
#include <unlabel/augment/python/bind.h>
#include <unlabel/augment/python/convert.h>
#include <unlabel/augment/random.h>

namespace unlabel::augment::python {

using namespace nb::literals;

namespace {

/// The batch that is changed in place.
Floats batch_of(const Given<Floats>& given) {
  Floats images;
  if (!nb::try_cast(given.object, images, /*convert=*/false))
    throw_type_error(
        "images are an array of float32 [images, channels, height, width], contiguous, which may be written to, not ",
        shown(given.object));
  if (images.ndim() != 4) throw UsageError("images are [images, channels, height, width], not ", shown(given.object));
  return images;
}

}  // namespace

void bind_batches(nb::module_& m) {
  m.def(
      "mixup",
      [](const Given<Floats>& given, const Key& key, double alpha) {
        const auto images = batch_of(given);
        Random random(key_of(key));
        const double share = draw_share(alpha, random);
        if (images.size() > 0)
          unlocked([&] { mixup({images.data(), images.size()}, static_cast<std::int64_t>(images.shape(0)), share); });
        return share;
      },
      "images"_a, "key"_a, "alpha"_a = 1.0,
      "In place, of float32 [images, channels, height, width]: share x_i + (1 - share) x_(i - 1), the first with the "
      "last, with a share from Beta(alpha, alpha) by the key (seed, epoch, batch). Returns the share, for "
      "`mix_labels`.");
  m.def(
      "cutmix",
      [](const Given<Floats>& given, const Key& key, double alpha) {
        const auto images = batch_of(given);
        for (std::size_t i = 1; i < 4; ++i)
          if (images.shape(i) > kMaxSide) throw UsageError("cutmix: an axis of ", images.shape(i));
        Random random(key_of(key));
        const double share = draw_share(alpha, random);
        if (images.size() == 0) return 1.0;
        const cv::Size size(static_cast<int>(images.shape(3)), static_cast<int>(images.shape(2)));
        const cv::Rect box = cutmix_box(share, size, random);
        return unlocked([&] {
          return cutmix({images.data(), images.size()}, static_cast<std::int64_t>(images.shape(0)),
                        static_cast<int>(images.shape(1)), size, box);
        });
      },
      "images"_a, "key"_a, "alpha"_a = 1.0,
      "In place, of float32 [images, channels, height, width]: a box of x_i becomes that of x_(i - 1), the first one's "
      "that of the last. Its sides are sqrt(1 - s) of the image's, s from Beta(alpha, alpha) by the key (seed, epoch, "
      "batch), and it is cut off at the border. Returns the share of x_i that is left, for `mix_labels`.");
  m.def(
      "mix_labels",
      [](Given<std::vector<std::int64_t>> given, std::int64_t classes, double share) {
        if (nb::hasattr(given.object, "tolist")) given.object = given.object.attr("tolist")();  // an array or a tensor
        const auto labels = value_of(given, "labels are whole numbers, one an image");
        if (classes < 1 || classes > 1 << 24) throw UsageError("there are 1 to 2^24 classes, not ", classes);
        if (labels.empty() || labels.size() > 1 << 20)
          throw UsageError("labels of 1 to 2^20 images, not ", labels.size());
        cv::Mat mixed(static_cast<int>(labels.size()), static_cast<int>(classes), CV_32F);
        mix_labels(labels, classes, share, {mixed.ptr<float>(), mixed.total()});
        return array_of(std::move(mixed));
      },
      "labels"_a, "classes"_a, "share"_a,
      "float32 [images, classes] of a batch after `mixup` or `cutmix`: the share for an image's own label, the rest "
      "for that of the one before.");
  m.def(
      "random_shift_into",
      [](const Given<Bytes>& given, int pad, const Key& key, const Given<WritableBytes>& given_out) {
        Bytes images;
        WritableBytes out;
        if (!nb::try_cast(given.object, images, /*convert=*/false))
          throw_type_error("random_shift takes an array of uint8 [images, channels, height, width], contiguous, not ",
                           shown(given.object));
        if (!nb::try_cast(given_out.object, out, /*convert=*/false))
          throw_type_error("random_shift: `out` is an array of uint8, contiguous, which may be written to, not ",
                           shown(given_out.object));
        if (images.ndim() != 4)
          throw UsageError("random_shift takes arrays [images, channels, height, width], not ", shown(given.object));
        if (out.ndim() != 4) throw UsageError("random_shift: `out` has another shape than the images");
        for (std::size_t i = 0; i < 4; ++i) {
          if (i > 0 && images.shape(i) > 1 << 30) throw UsageError("random_shift: an axis of ", images.shape(i));
          if (out.shape(i) != images.shape(i))
            throw UsageError("random_shift: `out` has another shape than the images");
        }
        // Both lie in one piece, so this is whether they share a byte.
        if (out.data() < images.data() + images.size() && images.data() < out.data() + out.size())
          throw UsageError("random_shift: `out` shares memory with the images; it must not");
        const ImageBatch batch{static_cast<std::int64_t>(images.shape(0)), static_cast<int>(images.shape(1)),
                               static_cast<int>(images.shape(2)), static_cast<int>(images.shape(3))};
        const auto at = key_of(key);
        unlocked([&] { random_shift(images.data(), batch, pad, {at.seed, at.epoch, at.sample, 0}, out.data()); });
      },
      "images"_a, "pad"_a, "key"_a, "out"_a,
      "`random_shift` into an array that is there, of the images' shape and apart from them.");
}

}  // namespace unlabel::augment::python
