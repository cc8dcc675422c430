#include <unlabel/augment/fused/fused_view.h>
#include <unlabel/augment/scratch.h>
#include <unlabel/augment/transforms/multi_crop.h>

#include <algorithm>

namespace unlabel::augment {

namespace {

constexpr int kMaxViews = 1024;
constexpr int kMaxDepth = 16;

/// In memory of the calling thread, valid until its next call.
const PlanarImage& planes_of(const ImageSource& source, const DecodeOptions& options, DecodeReport& report) {
  thread_local PlanarImage image;
  release_if_huge(image.bytes);
  report = decode_planes(source, options, image);
  return image;
}

}  // namespace

MultiCrop::MultiCrop(std::vector<Group> groups, bool exact) : groups_(std::move(groups)), exact_(exact) {
  if (groups_.empty()) throw UsageError("a multi-crop needs at least one group of views");
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const int count = groups_[g].count;
    if (count < 1 || count > kMaxViews - views())
      throw UsageError("views ", g + 1, ": count must be 1 to ", kMaxViews, " in all, not ", count);
    if (groups_[g].pipeline.steps().empty()) throw UsageError("views ", g + 1, ": the pipeline has no steps");
    pipeline_of_view_.insert(pipeline_of_view_.end(), count, static_cast<int>(g));
  }
  can_fuse_ = std::all_of(groups_.begin(), groups_.end(), [](const Group& group) { return can_fuse(group.pipeline); });
}

bool MultiCrop::fused() const { return can_fuse_ && !exact_ && fused_views_are_fast(); }

MultiCrop MultiCrop::from_json(const nlohmann::json& json) {
  check_json_depth(json, kMaxDepth, "multi-crop");
  if (!json.is_object())
    throw UsageError(R"(a multi-crop is an object like {"views": [{"count": 2, "pipeline": [...]}]})");
  for (const auto& [key, value] : json.items())
    if (key != "views" && key != "exact")
      throw UsageError("multi-crop: unknown key '", key, "'", did_you_mean(key, {"views", "exact"}));
  if (!json.contains("views") || !json["views"].is_array()) throw UsageError("multi-crop: 'views' must be a list");
  if (json["views"].size() > kMaxViews) throw UsageError("multi-crop: at most ", kMaxViews, " views");
  if (json.contains("exact") && !json["exact"].is_boolean())
    throw UsageError("multi-crop: 'exact' must be true or false");
  std::vector<Group> groups;
  for (const auto& item : json["views"]) {
    try {
      if (!item.is_object() || !item.contains("pipeline")) throw UsageError("expected an object with a 'pipeline'");
      for (const auto& [key, value] : item.items())
        if (key != "count" && key != "pipeline")
          throw UsageError("unknown key '", key, "'", did_you_mean(key, {"count", "pipeline"}));
      Group group;
      OptionTable options;
      options.add("count", group.count, "views drawn by this pipeline");
      if (item.contains("count")) options.find("count")->set(item["count"]);
      group.pipeline = Pipeline::from_json(item["pipeline"]);
      groups.push_back(std::move(group));
    } catch (const UsageError& error) {
      throw UsageError("views ", groups.size() + 1, ": ", error.what());  // "views 2: pipeline step 3 (...): ..."
    }
  }
  return MultiCrop(std::move(groups), json.value("exact", false));
}

nlohmann::json MultiCrop::to_json() const {
  auto views = nlohmann::json::array();
  for (const auto& group : groups_) views.push_back({{"count", group.count}, {"pipeline", group.pipeline.to_json()}});
  return {{"views", views}, {"exact", exact_}};
}

DecodeReport MultiCrop::operator()(const ImageSource& source, const ViewKey& key, std::span<float* const> out,
                                   const DecodeOptions& options) const {
  if (out.size() != pipeline_of_view_.size())
    throw UsageError("expected ", pipeline_of_view_.size(), " outputs, one a view, not ", out.size());
  thread_local std::vector<TransformParams> params;
  ViewKey view_key = key;
  const auto each_view = [&](cv::Size size, const auto& make) {
    for (int view = 0; view < views(); ++view) {
      view_key.view = static_cast<std::uint32_t>(view);
      pipeline(view).make_params(size, view_key, params);
      make(pipeline(view), out[view]);
    }
  };
  DecodeReport report;
  if (fused()) {
    const auto& image = planes_of(source, options, report);
    each_view(image.size, [&](const Pipeline& pipeline, float* to) { apply_fused(pipeline, image, params, to); });
  } else {
    const cv::Mat image = decode(source, options, &report);
    each_view(image.size(), [&](const Pipeline& pipeline, float* to) { pipeline.apply(image, params, to); });
  }
  return report;
}

DecodeReport MultiCrop::replay(const ImageSource& source, int view, std::span<const TransformParams> params, float* out,
                               const DecodeOptions& options) const {
  if (view < 0 || view >= views()) throw UsageError("there is no view ", view, " of ", views());
  DecodeReport report;
  if (fused()) {
    apply_fused(pipeline(view), planes_of(source, options, report), params, out);
  } else {
    pipeline(view).apply(decode(source, options, &report), params, out);
  }
  return report;
}

}  // namespace unlabel::augment
