#include <unlabel/augment/ops/color.h>
#include <unlabel/augment/transforms/policies.h>
#include <unlabel/augment/transforms/work_image.h>

#include <algorithm>
#include <limits>
#include <numbers>

namespace unlabel::augment {

namespace {

constexpr int kMaxOperations = 16;

using Byte = std::uint8_t;
using Table = std::array<Byte, 256>;

void check_type(const cv::Mat& image, const char* operation) {
  if (image.type() != CV_8UC3)
    throw UsageError(operation, " takes CV_8UC3 images, not ", cv::typeToString(image.type()));
}

/// Looks up each channel in a table of its own.
void look_up(const cv::Mat& image, const std::array<Table, 3>& tables, cv::Mat& out) {
  out.create(image.size(), image.type());
  for (int y = 0; y < image.rows; ++y) {
    const Byte* in = image.ptr<Byte>(y);
    Byte* result = out.ptr<Byte>(y);
    for (int x = 0; x < image.cols; ++x, in += 3, result += 3)
      for (std::size_t c = 0; c < 3; ++c) result[c] = tables[c][in[c]];
  }
}

/// Looks up all channels in one table of function(0), function(1), ...
template <class Function>
void look_up_all(const cv::Mat& image, const Function& function, cv::Mat& out) {
  Table table;
  for (int value = 0; value < 256; ++value) table[static_cast<std::size_t>(value)] = static_cast<Byte>(function(value));
  look_up(image, {table, table, table}, out);
}

using Histogram = std::array<std::int64_t, 256>;

/// One table a channel, made from its histogram.
template <class Function>
void look_up_by_histogram(const cv::Mat& image, const Function& make, cv::Mat& out) {
  std::array<Histogram, 3> histograms{};
  for (int y = 0; y < image.rows; ++y) {
    const Byte* in = image.ptr<Byte>(y);
    for (int x = 0; x < image.cols; ++x, in += 3)
      for (std::size_t c = 0; c < 3; ++c) ++histograms[c][in[c]];
  }
  std::array<Table, 3> tables;
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t value = 0; value < 256; ++value) tables[c][value] = static_cast<Byte>(value);
    make(histograms[c], tables[c]);
  }
  look_up(image, tables, out);
}

/// Number `i` of `count` from `first` to `last` as torch.linspace has it in float32 where there is a fused multiply-add (AVX2, AVX-512):
/// counted from the nearer end, rounded once.
float linspace(float first, float last, int count, int i) {
  const float step = (last - first) / static_cast<float>(count - 1);
  return i < count / 2 ? std::fma(step, static_cast<float>(i), first)
                       : std::fma(-step, static_cast<float>(count - 1 - i), last);
}

struct Operation {
  const char* name;
  double rand = 0, trivial = 0;  ///< the greatest magnitude, as auto_magnitude takes it
  bool goes_both_ways = false;
};

constexpr Operation kOperations[] = {{"Identity"},
                                     {"ShearX", 0.3, 0.99, true},
                                     {"ShearY", 0.3, 0.99, true},
                                     {"TranslateX", 150.0 / 331, 32, true},
                                     {"TranslateY", 150.0 / 331, 32, true},
                                     {"Rotate", 30, 135, true},
                                     {"Brightness", 0.9, 0.99, true},
                                     {"Color", 0.9, 0.99, true},
                                     {"Contrast", 0.9, 0.99, true},
                                     {"Sharpness", 0.9, 0.99, true},
                                     {"Posterize", 4, 6, false},
                                     {"Solarize", 255, 255, false},
                                     {"AutoContrast"},
                                     {"Equalize"}};

const Operation& find(const std::string& name) {
  const auto* const found = std::find_if(std::begin(kOperations), std::end(kOperations),
                                         [&](const Operation& operation) { return name == operation.name; });
  if (found == std::end(kOperations))
    throw UsageError("there is no operation '", name, "' to augment with", did_you_mean(name, auto_operations()));
  return *found;
}

}  // namespace

void posterize(const cv::Mat& image, int bits, cv::Mat& out) {
  check_type(image, "posterize");
  if (bits < 0 || bits > 8) throw UsageError("posterize keeps 0 to 8 bits, not ", bits);
  look_up_all(
      image, [mask = ~((1 << (8 - bits)) - 1)](int value) { return value & mask; }, out);
}

void autocontrast(const cv::Mat& image, cv::Mat& out) {
  check_type(image, "autocontrast");
  look_up_by_histogram(
      image,
      [](const Histogram& histogram, Table& table) {
        int low = 0, high = 255;
        while (low < 256 && histogram[static_cast<std::size_t>(low)] == 0) ++low;
        while (high >= 0 && histogram[static_cast<std::size_t>(high)] == 0) --high;
        if (high <= low) return;
        const double scale = 255.0 / (high - low), offset = -low * scale;
        for (int value = 0; value < 256; ++value)
          table[static_cast<std::size_t>(value)] =
              static_cast<Byte>(std::clamp(static_cast<int>(value * scale + offset), 0, 255));
      },
      out);
}

void equalize(const cv::Mat& image, cv::Mat& out) {
  check_type(image, "equalize");
  look_up_by_histogram(
      image,
      [](const Histogram& histogram, Table& table) {
        std::int64_t pixels = 0, last = 0, kinds = 0;
        for (const auto count : histogram) {
          pixels += count;
          if (count > 0) last = count, ++kinds;
        }
        // PIL's: pixels a level, of which the greatest value's are left out.
        const std::int64_t step = (pixels - last) / 255;
        if (kinds <= 1 || step == 0) return;
        std::int64_t sum = step / 2;
        for (std::size_t value = 0; value < 256; ++value) {
          table[value] = static_cast<Byte>(std::min<std::int64_t>(255, sum / step));
          sum += histogram[value];
        }
      },
      out);
}

void adjust_sharpness(const cv::Mat& image, double factor, cv::Mat& out) {
  check_type(image, "adjust_sharpness");
  if (!(factor >= 0 && factor <= std::numeric_limits<float>::max()))
    throw UsageError("adjust_sharpness: the factor must be finite and >= 0, not ", factor);
  const auto strength = static_cast<float>(factor);
  cv::Mat result(image.size(), image.type());
  for (int y = 0; y < image.rows; ++y) {
    const bool edge = y == 0 || y + 1 == image.rows;
    for (int i = 0; i < 3 * image.cols; ++i) {
      const Byte value = image.ptr<Byte>(y)[i];
      int smooth = value;
      // (sum of nine + 4 times the middle) / 13 in whole numbers, rounded.
      if (!edge && i >= 3 && i < 3 * (image.cols - 1)) {
        int sum = 4 * value;
        for (int row = y - 1; row <= y + 1; ++row)
          for (const int column : {i - 3, i, i + 3}) sum += image.ptr<Byte>(row)[column];
        smooth = (2 * sum + 13) / 26;
      }
      const float mixed = static_cast<float>(smooth) + strength * static_cast<float>(value - smooth);
      result.ptr<Byte>(y)[i] = mixed <= 0 ? 0 : mixed >= 255 ? 255 : static_cast<Byte>(mixed);
    }
  }
  result.copyTo(out);
}

const std::vector<std::string>& auto_operations() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const auto& operation : kOperations) all.emplace_back(operation.name);
    return all;
  }();
  return names;
}

double auto_magnitude(AutoSpace space, const std::string& name, int bin, int bins, cv::Size image) {
  if (bins < 2 || bin < 0 || bin >= bins)
    throw UsageError("there is no magnitude ", bin, " of ", bins, ": it is counted from 0, and there are at least 2");
  const auto& operation = find(name);
  double most = space == AutoSpace::kRand ? operation.rand : operation.trivial;
  // Bits and levels count down: less is stronger.
  if (name == "Posterize") return 8 - std::nearbyint(static_cast<float>(bin) / static_cast<float>((bins - 1) / most));
  if (name == "Solarize") return linspace(static_cast<float>(most), 0, bins, bin);
  if (space == AutoSpace::kRand && name == "TranslateX") most *= image.width;
  if (space == AutoSpace::kRand && name == "TranslateY") most *= image.height;
  return linspace(0, static_cast<float>(most), bins, bin);
}

void check_auto(const std::string& name, double magnitude) {
  const auto& operation = find(name);
  const bool factor = name == "Brightness" || name == "Color" || name == "Contrast" || name == "Sharpness";
  const double most = name == "Posterize" ? 8
                      : factor            ? 100
                                          : 1e5,
               least = factor                     ? -1
                       : operation.goes_both_ways ? -1e5
                                                  : 0;
  if (!(magnitude >= least && magnitude <= most))
    throw UsageError("the magnitude ", magnitude, " of ", name, " is out of range: ", least, " to ", most);
}

void apply_auto(const cv::Mat& image, const std::string& name, double magnitude, Sampling sampling, double fill,
                cv::Mat& out) {
  check_type(image, name.c_str());
  check_auto(name, magnitude);
  const auto moved = [&](const AffineChange& change, cv::Point2d center) {
    affine(image, affine_matrix(change, center), sampling, fill, out);
  };
  const cv::Point2d middle(image.cols * 0.5, image.rows * 0.5);
  const double shear = std::atan(magnitude) * (180 / std::numbers::pi), pixels = std::trunc(magnitude);
  // As torchvision has it, shears are about the upper left corner.
  if (name == "ShearX") return moved({.shear_x = shear}, {});
  if (name == "ShearY") return moved({.shear_y = shear}, {});
  if (name == "TranslateX") return moved({.translate = {pixels, 0}}, middle);
  if (name == "TranslateY") return moved({.translate = {0, pixels}}, middle);
  if (name == "Rotate") return affine(image, rotation_matrix(magnitude, image.size()), sampling, fill, out);
  if (name == "Brightness") return adjust_brightness(image, 1 + magnitude, out);
  if (name == "Color") return adjust_saturation(image, 1 + magnitude, out);
  if (name == "Contrast") return adjust_contrast(image, 1 + magnitude, out);
  if (name == "Sharpness") return adjust_sharpness(image, 1 + magnitude, out);
  if (name == "Posterize") return posterize(image, static_cast<int>(magnitude), out);
  if (name == "Solarize")
    return look_up_all(
        image, [&](int value) { return value < magnitude ? value : 255 - value; }, out);
  if (name == "AutoContrast") return autocontrast(image, out);
  if (name == "Equalize") return equalize(image, out);
  image.copyTo(out);
}

// ---- RandAugment, TrivialAugmentWide ----

namespace {

void check_bins(int bins, const std::string& where) {
  if (bins < 2 || bins > 1000) throw UsageError(where, ": num_magnitude_bins must be 2 to 1000, not ", bins);
}

/// Adds a random operation of the strength `bin`, or of a random one for -1.
void add_operation(AutoSpace space, int bin, int bins, cv::Size image, Random& random, PolicyParams& params) {
  const auto& names = auto_operations();
  const auto& operation = names[random.below(static_cast<std::uint32_t>(names.size()))];
  if (bin < 0) bin = static_cast<int>(random.below(static_cast<std::uint32_t>(bins)));
  const double magnitude = auto_magnitude(space, operation, bin, bins, image);
  params.operations.push_back(operation);
  params.magnitudes.push_back(find(operation).goes_both_ways && random.bernoulli(0.5) ? -magnitude : magnitude);
}

void check_operations(const PolicyParams& params) {
  if (params.operations.size() != params.magnitudes.size() || params.operations.size() > kMaxOperations)
    throw UsageError("there are ", params.operations.size(), " operations and ", params.magnitudes.size(),
                     " magnitudes: one each is needed, and at most ", kMaxOperations);
  for (std::size_t i = 0; i < params.operations.size(); ++i) check_auto(params.operations[i], params.magnitudes[i]);
}

void apply_operations(const PolicyParams& params, Sampling sampling, double fill, WorkImage& work) {
  for (std::size_t i = 0; i < params.operations.size(); ++i)
    work.make(work.size(), [&](const cv::Mat& in, cv::Mat& out) {
      apply_auto(in, params.operations[i], params.magnitudes[i], sampling, fill, out);
    });
}

}  // namespace

OptionTable table(RandAugment& o) {
  return {{"num_ops", o.num_ops, "number of operations"},
          {"magnitude", o.magnitude, "their strength, 0 to num_magnitude_bins - 1"},
          {"num_magnitude_bins", o.num_magnitude_bins, "steps of the strength"},
          {"interpolation", o.interpolation, "nearest or bilinear"},
          {"fill", o.fill, "pixels from outside the image; a fraction of white"}};
}

OptionTable table(TrivialAugmentWide& o) {
  return {{"num_magnitude_bins", o.num_magnitude_bins, "steps of the strength"},
          {"interpolation", o.interpolation, "nearest or bilinear"},
          {"fill", o.fill, "pixels from outside the image; a fraction of white"}};
}

OptionTable table(PolicyParams& d) {
  return {{"operations", d.operations, "one after the other"}, {"magnitudes", d.magnitudes, "of each"}};
}

void validate(const RandAugment& o, const std::string& where) {
  if (o.num_ops < 1 || o.num_ops > kMaxOperations)
    throw UsageError(where, ": num_ops must be 1 to ", kMaxOperations, ", not ", o.num_ops);
  check_bins(o.num_magnitude_bins, where);
  if (o.magnitude < 0 || o.magnitude >= o.num_magnitude_bins)
    throw UsageError(where, ": magnitude must be 0 to ", o.num_magnitude_bins - 1, ", not ", o.magnitude);
  check_fill(o.fill, where);
}

void validate(const TrivialAugmentWide& o, const std::string& where) {
  check_bins(o.num_magnitude_bins, where);
  check_fill(o.fill, where);
}

PolicyParams make_params(const RandAugment& o, cv::Size image, Random& random) {
  PolicyParams params;
  for (int i = 0; i < o.num_ops; ++i)
    add_operation(AutoSpace::kRand, o.magnitude, o.num_magnitude_bins, image, random, params);
  return params;
}

PolicyParams make_params(const TrivialAugmentWide& o, cv::Size image, Random& random) {
  PolicyParams params;
  add_operation(AutoSpace::kTrivialWide, -1, o.num_magnitude_bins, image, random, params);
  return params;
}

void check(const RandAugment&, const PolicyParams& params, cv::Size) { check_operations(params); }
void check(const TrivialAugmentWide&, const PolicyParams& params, cv::Size) { check_operations(params); }

void apply(const RandAugment& o, const PolicyParams& params, WorkImage& work) {
  apply_operations(params, o.interpolation, o.fill, work);
}

void apply(const TrivialAugmentWide& o, const PolicyParams& params, WorkImage& work) {
  apply_operations(params, o.interpolation, o.fill, work);
}

}  // namespace unlabel::augment
