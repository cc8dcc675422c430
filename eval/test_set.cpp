#include <unlabel/augment/error.h>
#include <unlabel/data/io/files.h>
#include <unlabel/data/io/retry.h>
#include <unlabel/eval/test_set.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

namespace unlabel::eval {

namespace {

constexpr std::size_t kMaxFilesRead = 1024;

/// A data set labeled by its first-level folders, which are named as training classes.
class LabeledByFolder : public data::Dataset {
 public:
  LabeledByFolder(std::shared_ptr<const Dataset> inner, std::vector<std::int64_t> labels,
                  std::vector<std::string> names)
      : inner_(std::move(inner)), labels_(std::move(labels)), names_(std::move(names)) {}

  std::int64_t size() const override { return inner_->size(); }
  void read(std::int64_t index, augment::ImageSource& out) const override { inner_->read(index, out); }
  void read_start(std::int64_t index, std::uint64_t bytes, augment::ImageSource& out) const override {
    inner_->read_start(index, bytes, out);
  }
  std::int64_t label(std::int64_t index) const override { return labels_.at(static_cast<std::size_t>(index)); }
  const std::vector<std::string>& class_names() const override { return names_; }
  std::string name(std::int64_t index) const override { return inner_->name(index); }
  void for_each_file(const std::function<void(std::string_view, std::uint64_t)>& visit) const override {
    inner_->for_each_file(visit);
  }
  std::optional<std::uint64_t> checksum() const override { return inner_->checksum(); }
  std::vector<std::string> notes() const override { return inner_->notes(); }
  std::string file_index() const override { return inner_->file_index(); }
  std::string description() const override {
    return concat(inner_->description(), "; labeled by the folders of the training images");
  }

 private:
  std::shared_ptr<const Dataset> inner_;
  std::vector<std::int64_t> labels_;
  std::vector<std::string> names_;
};

/// Whether every sample is a file of its own.
bool has_file_per_sample(const data::Dataset& dataset) {
  std::int64_t files = 0;
  dataset.for_each_file([&](std::string_view, std::uint64_t) { ++files; });
  return files == dataset.size();
}

/// Calls `visit` with the index, name and bytes of every sample that is a file or is in an archive (there with an empty name, as the
/// archive would have to be read for it).
template <class Visit>
void for_each_stored(const data::Dataset& dataset, const Visit& visit) {
  std::int64_t index = 0;
  if (has_file_per_sample(dataset))
    dataset.for_each_file([&](std::string_view name, std::uint64_t bytes) { visit(index++, name, bytes); });
  else
    for (; index < dataset.size(); ++index)
      if (const auto bytes = dataset.stored_bytes(index)) visit(index, "", *bytes);
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

/// The content of a sample: its length and checksum.
using Content = std::pair<std::uint64_t, std::uint64_t>;

Content content_of(const augment::ImageSource& source) {
  data::Fingerprint sum;
  if (source.pixels.empty()) {
    sum.add(std::string_view(reinterpret_cast<const char*>(source.bytes.data()), source.bytes.size()));
    return {source.bytes.size(), sum.value()};
  }
  const auto row_bytes = source.pixels.cols * source.pixels.elemSize();
  for (int y = 0; y < source.pixels.rows; ++y) sum.add(std::string_view(source.pixels.ptr<const char>(y), row_bytes));
  return {source.pixels.rows * row_bytes, sum.value()};
}

/// Calls `visit` with the content of a sample, unless it is broken.
template <class Visit>
void visit_content(const data::Dataset& dataset, std::int64_t index, augment::ImageSource& source, const Visit& visit) {
  try {
    data::retry([&] { dataset.read(index, source); });
  } catch (const IoError&) {
    throw;
  } catch (const UsageError&) {  // too many open files
    throw;
  } catch (const Error&) {  // a broken image is reported where it is used
    return;
  }
  visit(content_of(source));
}

/// Whether samples are arrays of pixels rather than encoded files, by the first one that can be read.
bool has_pixels(const data::Dataset& dataset, augment::ImageSource& source) {
  bool read = false;
  for (std::int64_t index = 0; index < std::min<std::int64_t>(16, dataset.size()) && !read; ++index)
    visit_content(dataset, index, source, [&](const Content&) { read = true; });
  return read && !source.pixels.empty();
}

}  // namespace

std::shared_ptr<const data::Dataset> labeled_by_folder(std::shared_ptr<const data::Dataset> test,
                                                       const std::vector<std::string>& training_classes) {
  if (!test->class_names().empty() || training_classes.empty() || !has_file_per_sample(*test)) return test;
  std::map<std::string, std::int64_t> label_of;
  for (std::size_t i = 0; i < training_classes.size(); ++i)
    label_of.emplace(training_classes[i], static_cast<std::int64_t>(i));
  std::vector<std::int64_t> labels;
  bool any = false;
  for (std::int64_t i = 0; i < test->size(); ++i) {
    const auto name = test->name(i);
    const auto slash = name.find('/');
    const auto found = slash == std::string::npos ? label_of.end() : label_of.find(name.substr(0, slash));
    labels.push_back(found == label_of.end() ? -1 : found->second);
    any = any || labels.back() >= 0;
  }
  if (!any) return test;
  return std::make_shared<LabeledByFolder>(std::move(test), std::move(labels), training_classes);
}

std::string SharedImages::sentence() const {
  if (compared == 0) return "whether test images are training images is not known: none could be compared";
  if (shared == 0) return "";
  return concat(shared, " of ", compared, " test images that were compared are training images too (", example,
                "): the result says little about other images");
}

SharedImages find_shared_images(const data::Dataset& train, const data::Dataset& test, std::int64_t most) {
  SharedImages result;
  if (train.size() == 0 || test.size() == 0) return result;
  augment::ImageSource source;
  std::multimap<Content, std::int64_t> wanted;  // of test samples
  bool test_arrays = false;
  const auto count = std::min(most, test.size());
  for (std::int64_t i = 0; i < count; ++i) {
    const auto index = data::evenly_spaced(i, count, test.size());
    visit_content(test, index, source, [&](const Content& content) {
      wanted.emplace(content, index);
      test_arrays = !source.pixels.empty();
    });
  }
  // Encoded files never equal arrays of pixels.
  const bool arrays = has_pixels(train, source);
  if (!wanted.empty() && arrays != test_arrays) return result;
  result.compared = static_cast<std::int64_t>(wanted.size());
  const auto compare = [&](std::int64_t index) {
    visit_content(train, index, source, [&](const Content& content) {
      const auto [begin, end] = wanted.equal_range(content);
      if (begin == end) return;
      if (result.shared == 0)
        result.example = concat(test.name(begin->second), " is ", train.name(index), " of the training images");
      result.shared += std::distance(begin, end);
      wanted.erase(begin, end);
    });
  };

  if (arrays) {
    for (std::int64_t index = 0; index < train.size(); ++index) compare(index);
  } else {
    std::map<std::uint64_t, std::vector<std::string>> names_by_size;
    for (const auto& [content, index] : wanted) names_by_size[content.first].push_back(test.name(index));
    // Candidates are files of the same size; those of the same name come first, as only kMaxFilesRead are read.
    std::vector<std::pair<std::int64_t, std::uint64_t>> candidates, others;  // with their sizes
    for_each_stored(train, [&](std::int64_t index, std::string_view name, std::uint64_t size) {
      const auto found = names_by_size.find(size);
      if (found == names_by_size.end()) return;
      const bool same = std::ranges::any_of(
          found->second, [&](const std::string& wanted_name) { return base_name(wanted_name) == base_name(name); });
      (same ? candidates : others).emplace_back(index, size);
    });
    candidates.insert(candidates.end(), others.begin(), others.end());
    std::set<std::uint64_t> unread;  // sizes
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      if (i < kMaxFilesRead)
        compare(candidates[i].first);
      else
        unread.insert(candidates[i].second);
    }
    // A test image that was not found counts as compared only if all files of its size were read.
    result.compared -= std::ranges::count_if(wanted, [&](const auto& one) { return unread.contains(one.first.first); });
  }
  return result;
}

}  // namespace unlabel::eval
