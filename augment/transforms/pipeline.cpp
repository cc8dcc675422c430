#include <unlabel/augment/ops/normalize.h>
#include <unlabel/augment/transforms/pipeline.h>
#include <unlabel/augment/transforms/work_image.h>

namespace unlabel::augment {

namespace {

constexpr std::size_t kMaxSteps = 64;

std::string place(std::size_t step) { return "pipeline step " + std::to_string(step + 1); }

}  // namespace

Pipeline::Pipeline(std::vector<Transform> steps) : steps_(std::move(steps)) {
  if (steps_.size() > kMaxSteps) throw UsageError("a pipeline has at most ", kMaxSteps, " steps, not ", steps_.size());
  ImageInfo info;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const std::string where = place(i) + " (" + std::string(name(steps_[i])) + ")";
    validate(steps_[i], where);
    try {
      info = info_after(steps_[i], info, where);
    } catch (const UsageError&) {
      throw;
    } catch (const Error& error) {  // such an image would be refused; here the step is at fault
      throw UsageError(where, ": ", error.what());
    }
  }
  if (!info.size)
    throw UsageError(
        "a pipeline must give every image the same size: add a RandomResizedCrop, a CenterCrop or a Resize to [height, "
        "width]");
  output_ = {info.channels, info.size->height, info.size->width};
}

Pipeline Pipeline::from_json(const nlohmann::json& json) {
  if (!json.is_array())
    throw UsageError("a pipeline is a list of steps, like [{\"op\": \"CenterCrop\", \"size\": 224}]");
  if (json.size() > kMaxSteps) throw UsageError("a pipeline has at most ", kMaxSteps, " steps, not ", json.size());
  std::vector<Transform> steps;
  for (const auto& step : json) steps.push_back(transform_from_json(step, place(steps.size())));
  return Pipeline(std::move(steps));
}

nlohmann::json Pipeline::to_json() const {
  auto json = nlohmann::json::array();
  for (const auto& step : steps_) json.push_back(augment::to_json(step));
  return json;
}

std::vector<TransformParams> Pipeline::make_params(cv::Size image, const ViewKey& key) const {
  std::vector<TransformParams> params;
  make_params(image, key, params);
  return params;
}

void Pipeline::make_params(cv::Size image, const ViewKey& key, std::vector<TransformParams>& params) const {
  if (image.width < 1 || image.height < 1) throw UsageError("there are no views of an empty image");
  Random random(key);
  params.clear();
  params.reserve(steps_.size());
  for (const auto& step : steps_) {
    params.push_back(augment::make_params(step, image, random));
    image = size_after(step, image);
  }
}

void Pipeline::check(std::span<const TransformParams> params, cv::Size image) const {
  if (steps_.empty()) throw UsageError("the pipeline has no steps");
  if (params.size() != steps_.size())
    throw UsageError("expected parameters for ", steps_.size(), " steps, not ", params.size());
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    augment::check(steps_[i], params[i], image);
    image = size_after(steps_[i], image);
  }
}

nlohmann::json Pipeline::params_to_json(std::span<const TransformParams> params) const {
  if (params.size() != steps_.size())
    throw UsageError("expected parameters for ", steps_.size(), " steps, not ", params.size());
  auto json = nlohmann::json::array();
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    json.push_back(augment::to_json(params[i]));
    json.back()["op"] = name(steps_[i]);
  }
  return json;
}

std::vector<TransformParams> Pipeline::params_from_json(const nlohmann::json& json) const {
  if (!json.is_array() || json.size() != steps_.size())
    throw UsageError("parameters are a list of ", steps_.size(), " objects, one for each step of the pipeline");
  check_json_depth(json, 4, "parameters");
  std::vector<TransformParams> params;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const std::string where = "parameters " + std::to_string(i + 1);
    auto fields = json[i];
    rename_transforms(fields);
    if (!fields.is_object() || fields.value("op", nlohmann::json()) != name(steps_[i]))
      throw UsageError(where, ": expected those of ", name(steps_[i]));
    fields.erase("op");
    params.push_back(augment::params_from_json(steps_[i], fields, where));
  }
  return params;
}

void Pipeline::apply(const cv::Mat& rgb, std::span<const TransformParams> params, float* out) const {
  if (rgb.empty() || rgb.type() != CV_8UC3) throw UsageError("a pipeline takes CV_8UC3 images in RGB order");
  check(params, rgb.size());
  WorkImage work(rgb);
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    // At the end, normalizing and writing planes are one pass.
    if (const auto* last = std::get_if<Normalize>(&steps_[i]); last && i + 1 == steps_.size()) {
      to_planes(work.image(), last->mean, last->std, out);
      return;
    }
    const auto* resize = std::get_if<Resize>(&steps_[i]);
    const auto* crop = resize && i + 1 < steps_.size() ? std::get_if<CenterCrop>(&steps_[i + 1]) : nullptr;
    if (crop) {
      augment::apply(*resize, *crop, work);
      ++i;
    } else {
      augment::apply(steps_[i], params[i], work);
    }
  }
  to_planes(work.image(), {}, {}, out);
}

void Pipeline::operator()(const cv::Mat& rgb, const ViewKey& key, float* out) const {
  apply(rgb, make_params(rgb.size(), key), out);
}

}  // namespace unlabel::augment
