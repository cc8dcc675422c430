#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/color.h>
#include <unlabel/augment/ops/color_byol.h>
#include <unlabel/augment/ops/filter.h>
#include <unlabel/augment/ops/geometry.h>
#include <unlabel/augment/ops/planar.h>
#include <unlabel/augment/ops/resize.h>
#include <unlabel/augment/overloaded.h>
#include <unlabel/augment/scratch.h>
#include <unlabel/augment/transforms/auto_augment.h>
#include <unlabel/augment/transforms/pipeline.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

namespace unlabel::augment {

namespace {

constexpr std::size_t kMaxSteps = 64;

std::string place(std::size_t step) { return "pipeline step " + std::to_string(step + 1); }

/// What is known about the image between two steps, before any image is seen.
struct Known {
  std::optional<cv::Size> size;
  int channels = 3;
  bool normalized = false;
  bool floats = false;
};

Known after(const Step& step, Known known, const std::string& where) {
  const auto needs_rgb = [&] {
    if (known.normalized) throw UsageError(where, ": works on colors in [0, 1]: move it before Normalize");
    if (known.channels != 3)
      throw UsageError(where, ": works on three channels, but an earlier step leaves ", known.channels);
  };
  const auto needs_bytes = [&] {
    needs_rgb();
    if (known.floats)
      throw UsageError(where, ": works on whole levels: move it before the first step of BYOL's family");
  };
  const auto before_normalize = [&] {
    if (known.normalized) throw UsageError(where, ": fills with a color: move it before Normalize");
  };
  std::visit(Overloaded{
                 [&](const Resize& o) {
                   if (o.size.width > 0 || known.size)
                     known.size = size_after(step, known.size.value_or(cv::Size(1, 1)));
                   if (known.size && std::int64_t{known.size->width} * known.size->height > kMaxPixels)
                     throw UsageError(where, ": makes ", known.size->width, " x ", known.size->height,
                                      " pixels, more than ", kMaxPixels);
                 },
                 [&](const RandomResizedCrop& o) {
                   known.size = size_after(step, {});
                   if (o.family == Family::kByol) {
                     needs_rgb();
                     known.floats = true;
                   }
                 },
                 [&](const CenterCrop&) { known.size = size_after(step, {}); },
                 [&](const ColorJitter& o) {
                   needs_rgb();
                   known.floats = known.floats || o.family == Family::kByol;
                 },
                 [&](const RandAugment&) { needs_bytes(); },
                 [&](const TrivialAugmentWide&) { needs_bytes(); },
                 [&](const RandomErasing& o) {
                   if (!known.normalized && !(o.value >= 0 && o.value <= 1))
                     throw UsageError(where, ": value is a fraction of white before Normalize, in [0, 1], not ",
                                      o.value);
                 },
                 [&](const RandomRotation&) { before_normalize(); },
                 [&](const RandomAffine&) { before_normalize(); },
                 [&](const RandomGrayscale&) { needs_rgb(); },
                 [&](const RandomSolarize&) { needs_rgb(); },
                 [&](const Grayscale&) {
                   needs_rgb();
                   known.channels = 1;
                 },
                 [&](const Normalize& o) {
                   if (known.normalized) throw UsageError(where, ": the image is normalized already");
                   if (o.mean.size() != static_cast<std::size_t>(known.channels))
                     throw UsageError(where, ": has ", o.mean.size(), " means, but the image has ", known.channels,
                                      " channels");
                   known.normalized = true;
                 },
                 [&](const Sobel&) {
                   if (known.channels != 3)
                     throw UsageError(where, ": works on three channels, but an earlier step leaves ", known.channels);
                   known.channels = 2;
                   known.normalized = true;
                 },
                 [](const auto&) {},
             },
             step);
  return known;
}

/// The image on its way through the steps. Results alternate between two buffers of the thread, which grow as needed
/// and are kept unless huge; steps that work pixel by pixel write in place, except into the caller's image.
class Work {
 public:
  explicit Work(const cv::Mat& image) : image_(image) {}
  ~Work() {
    for (auto& buffer : buffers_) release_if_huge(buffer);
  }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  const cv::Mat& image() const { return image_; }
  bool is_float() const { return image_.depth() == CV_32F; }

  /// Looks at a part of the image from here on.
  void narrow(cv::Rect box) { image_ = image_(box); }

  /// function(image, out) makes an image of that size and type.
  template <class Function>
  void make(cv::Size size, int type, Function function) {
    cv::Mat out = next_buffer(size, type);
    function(image_, out);
    image_ = out;
    mine_ = true;
  }

  /// function(image, out) keeps size and type and may work in place.
  template <class Function>
  void change(Function function) {
    if (mine_) {
      function(image_, image_);
    } else {
      make(image_.size(), image_.type(), function);
    }
  }

  void make_float() {
    if (!is_float())
      make(image_.size(), CV_MAKETYPE(CV_32F, image_.channels()),
           [](const cv::Mat& in, cv::Mat& out) { to_float(in, out); });
  }

 private:
  cv::Mat next_buffer(cv::Size size, int type) {
    auto& buffer = buffers_[turn_ ^= 1];
    const std::size_t bytes = static_cast<std::size_t>(size.area()) * CV_ELEM_SIZE(type);
    if (buffer.size() * sizeof(float) < bytes) buffer.resize((bytes + sizeof(float) - 1) / sizeof(float));
    return cv::Mat(size, type, buffer.data());
  }

  inline static thread_local std::vector<float> buffers_[2];
  cv::Mat image_;
  bool mine_ = false;
  int turn_ = 0;
};

void apply_jitter(const ColorJitter& options, const DrawnJitter& drawn, Work& work) {
  const bool byol = options.family == Family::kByol;
  if (byol) work.make_float();
  if (!drawn.apply) return;
  for (const int operation : drawn.order) {
    work.change([&](const cv::Mat& in, cv::Mat& out) {
      switch (operation) {
        case 0:
          if (options.brightness > 0)
            return (byol ? byol::adjust_brightness : adjust_brightness)(in, drawn.brightness, out);
          break;
        case 1:
          if (options.contrast > 0) return (byol ? byol::adjust_contrast : adjust_contrast)(in, drawn.contrast, out);
          break;
        case 2:
          if (options.saturation > 0)
            return (byol ? byol::adjust_saturation : adjust_saturation)(in, drawn.saturation, out);
          break;
        default:
          if (options.hue > 0) return (byol ? byol::adjust_hue : adjust_hue)(in, drawn.hue, out);
      }
      if (in.data != out.data) in.copyTo(out);
    });
  }
}

/// BYOL's resize: levels become floats, and what overshoots is cut off.
void sample(const RandomResizedCrop& options, cv::Size size, Work& work) {
  const float white = work.is_float() ? 1 : 255;
  work.make(size, CV_MAKETYPE(CV_32F, work.image().channels()), [&](const cv::Mat& in, cv::Mat& out) {
    resize_sampled(in, size, options.interpolation, out);
    for (int y = 0; y < out.rows; ++y)
      for (int i = 0; i < out.cols * out.channels(); ++i) {
        float& value = out.ptr<float>(y)[i];
        value = std::clamp(value / white, 0.0f, 1.0f);
      }
  });
}

/// A Resize and the CenterCrop behind it: only what is kept is made, so that a long image makes no long one between them.
void resize_and_crop(const Resize& resize, cv::Size resized, cv::Size crop, Work& work) {
  const cv::Rect wanted = center_crop_box(resized, crop), there = wanted & cv::Rect({0, 0}, resized);
  work.make(crop, work.image().type(), [&](const cv::Mat& in, cv::Mat& out) {
    if (there.size() != crop) out.setTo(cv::Scalar::all(0));
    cv::Mat target = out(there - wanted.tl());
    resize_region(in, resized, there, resize.interpolation, target);
  });
}

void apply_operations(const DrawnOperations& drawn, Sampling sampling, double fill, Work& work) {
  for (std::size_t i = 0; i < drawn.operations.size(); ++i)
    work.make(work.image().size(), work.image().type(), [&](const cv::Mat& in, cv::Mat& out) {
      apply_auto(in, drawn.operations[i], drawn.magnitudes[i], sampling, fill, out);
    });
}

void apply_step(const Step& step, const Drawn& drawn, Work& work) {
  const cv::Size before = work.image().size(), size = size_after(step, before);
  const int type = work.image().type();
  const auto chosen = [&] { return std::get<DrawnChoice>(drawn).apply; };
  std::visit(
      Overloaded{
          [&](const RandomResizedCrop& o) {
            const auto& box = std::get<DrawnBox>(drawn);
            work.narrow({box.x, box.y, box.width, box.height});
            if (o.family == Family::kByol) return sample(o, size, work);
            work.make(size, type, [&](const cv::Mat& in, cv::Mat& out) { resize(in, size, o.interpolation, out); });
          },
          [&](const Resize& o) {
            if (std::int64_t{size.width} * size.height > kMaxPixels) refuse_pixels(before, size);
            if (size != before)
              work.make(size, type, [&](const cv::Mat& in, cv::Mat& out) { resize(in, size, o.interpolation, out); });
          },
          [&](const CenterCrop&) {
            if (size != before)
              work.make(size, type, [&](const cv::Mat& in, cv::Mat& out) { center_crop(in, size, out); });
          },
          [&](const RandomHorizontalFlip&) {
            if (chosen()) work.change(horizontal_flip);
          },
          [&](const ColorJitter& o) { apply_jitter(o, std::get<DrawnJitter>(drawn), work); },
          [&](const RandomGrayscale&) {
            if (chosen()) work.change(grayscale);
          },
          [&](const Grayscale&) { work.make(size, CV_MAKETYPE(CV_MAT_DEPTH(type), 1), to_gray); },
          [&](const GaussianBlur& o) {
            const auto& blur = std::get<DrawnBlur>(drawn);
            if (blur.apply)
              work.change([&](const cv::Mat& in, cv::Mat& out) {
                gaussian_blur(in, blur.sigma, o.kernel_size, o.border, out);
              });
          },
          [&](const RandomSolarize& o) {
            if (chosen()) work.change([&](const cv::Mat& in, cv::Mat& out) { solarize(in, o.threshold, out); });
          },
          [&](const PadShift& o) {
            const auto& shift = std::get<DrawnShift>(drawn);
            work.make(size, type,
                      [&](const cv::Mat& in, cv::Mat& out) { pad_shift(in, o.pad, shift.x, shift.y, out); });
          },
          [&](const RandomRotation& o) {
            const auto& turn = std::get<DrawnAffine>(drawn);
            work.make(size, type, [&](const cv::Mat& in, cv::Mat& out) {
              affine(in, rotation_matrix(turn.angle, size), o.interpolation, o.fill, out);
            });
          },
          [&](const RandomAffine& o) {
            const auto& d = std::get<DrawnAffine>(drawn);
            const AffineChange change{d.angle, cv::Point2d(d.translate[0], d.translate[1]), d.scale, d.shear, 0};
            work.make(size, type, [&](const cv::Mat& in, cv::Mat& out) {
              affine(in, affine_matrix(change, {size.width * 0.5, size.height * 0.5}), o.interpolation, o.fill, out);
            });
          },
          [&](const RandAugment& o) {
            apply_operations(std::get<DrawnOperations>(drawn), o.interpolation, o.fill, work);
          },
          [&](const TrivialAugmentWide& o) {
            apply_operations(std::get<DrawnOperations>(drawn), o.interpolation, o.fill, work);
          },
          [&](const RandomErasing& o) {
            const auto& box = std::get<DrawnErasing>(drawn);
            if (box.width == 0 || box.height == 0) return;
            work.change([&](const cv::Mat& in, cv::Mat& out) {
              if (in.data != out.data) in.copyTo(out);
              const double value = in.depth() == CV_8U ? std::round(255 * o.value) : o.value;
              out(cv::Rect(box.x, box.y, box.width, box.height)).setTo(cv::Scalar::all(value));
            });
          },
          [&](const Normalize& o) {
            work.make_float();
            work.change([&](const cv::Mat& in, cv::Mat& out) { normalize(in, o.mean, o.std, out); });
          },
          [&](const Sobel&) {
            work.make_float();
            work.make(size, CV_32FC2, sobel);
          },
      },
      step);
}

}  // namespace

Pipeline::Pipeline(std::vector<Step> steps) : steps_(std::move(steps)) {
  if (steps_.size() > kMaxSteps) throw UsageError("a pipeline has at most ", kMaxSteps, " steps, not ", steps_.size());
  Known known;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const std::string where = place(i) + " (" + std::string(name(steps_[i])) + ")";
    validate(steps_[i], where);
    try {
      known = after(steps_[i], known, where);
    } catch (const UsageError&) {
      throw;
    } catch (const Error& error) {  // such an image would be refused; here the step is at fault
      throw UsageError(where, ": ", error.what());
    }
  }
  if (!known.size)
    throw UsageError(
        "a pipeline must give every image the same size: add a RandomResizedCrop, a CenterCrop or a Resize to "
        "[height, width]");
  output_ = {known.channels, known.size->height, known.size->width};
}

Pipeline Pipeline::from_json(const nlohmann::json& json) {
  if (!json.is_array())
    throw UsageError("a pipeline is a list of steps, like [{\"op\": \"CenterCrop\", \"size\": 224}]");
  if (json.size() > kMaxSteps) throw UsageError("a pipeline has at most ", kMaxSteps, " steps, not ", json.size());
  std::vector<Step> steps;
  for (const auto& step : json) steps.push_back(step_from_json(step, place(steps.size())));
  return Pipeline(std::move(steps));
}

nlohmann::json Pipeline::to_json() const {
  auto json = nlohmann::json::array();
  for (const auto& step : steps_) json.push_back(augment::to_json(step));
  return json;
}

std::vector<Drawn> Pipeline::draw(cv::Size image, const ViewKey& key) const {
  std::vector<Drawn> drawn;
  draw(image, key, drawn);
  return drawn;
}

void Pipeline::draw(cv::Size image, const ViewKey& key, std::vector<Drawn>& drawn) const {
  if (image.width < 1 || image.height < 1) throw UsageError("cannot draw a view of an empty image");
  Random random(key);
  drawn.clear();
  drawn.reserve(steps_.size());
  for (const auto& step : steps_) {
    drawn.push_back(augment::draw(step, image, random));
    image = size_after(step, image);
  }
}

void Pipeline::check(std::span<const Drawn> drawn, cv::Size image) const {
  if (steps_.empty()) throw UsageError("the pipeline has no steps");
  if (drawn.size() != steps_.size())
    throw UsageError("expected parameters for ", steps_.size(), " steps, not ", drawn.size());
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    augment::check(steps_[i], drawn[i], image);
    image = size_after(steps_[i], image);
  }
}

nlohmann::json Pipeline::drawn_to_json(std::span<const Drawn> drawn) const {
  if (drawn.size() != steps_.size())
    throw UsageError("expected parameters for ", steps_.size(), " steps, not ", drawn.size());
  auto json = nlohmann::json::array();
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    json.push_back(augment::to_json(drawn[i]));
    json.back()["op"] = name(steps_[i]);
  }
  return json;
}

std::vector<Drawn> Pipeline::drawn_from_json(const nlohmann::json& json) const {
  if (!json.is_array() || json.size() != steps_.size())
    throw UsageError("drawn parameters are a list of ", steps_.size(), " objects, one a step of the pipeline");
  check_json_depth(json, 4, "drawn parameters");
  std::vector<Drawn> drawn;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const std::string where = "drawn parameters " + std::to_string(i + 1);
    auto fields = json[i];
    if (!fields.is_object() || fields.value("op", nlohmann::json()) != name(steps_[i]))
      throw UsageError(where, ": expected those of ", name(steps_[i]));
    fields.erase("op");
    drawn.push_back(augment::drawn_from_json(steps_[i], fields, where));
  }
  return drawn;
}

void Pipeline::apply(const cv::Mat& rgb, std::span<const Drawn> drawn, float* out) const {
  if (rgb.empty() || rgb.type() != CV_8UC3) throw UsageError("a pipeline takes CV_8UC3 images in RGB order");
  check(drawn, rgb.size());
  Work work(rgb);
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    if (const auto* last = std::get_if<Normalize>(&steps_[i]); last && i + 1 == steps_.size()) {
      to_planes(work.image(), last->mean, last->std, out);
      return;
    }
    const auto* resize = std::get_if<Resize>(&steps_[i]);
    if (resize && i + 1 < steps_.size() && std::holds_alternative<CenterCrop>(steps_[i + 1])) {
      const cv::Size resized = size_after(steps_[i], work.image().size());
      resize_and_crop(*resize, resized, size_after(steps_[++i], resized), work);
    } else {
      apply_step(steps_[i], drawn[i], work);
    }
  }
  to_planes(work.image(), {}, {}, out);
}

void Pipeline::operator()(const cv::Mat& rgb, const ViewKey& key, float* out) const {
  apply(rgb, draw(rgb.size(), key), out);
}

}  // namespace unlabel::augment
