#include <unlabel/augment/error.h>
#include <unlabel/eval/protocols/online_knn.h>
#include <unlabel/eval/targets.h>
#include <unlabel/eval/test_set.h>

#include <utility>

namespace unlabel::eval {

void require_valid(const OnlineKnnOptions& options) {
  if (options.train_images < 1 || options.test_images < 1)
    throw UsageError("the online kNN needs at least 1 training and 1 test image, not ", options.train_images, " and ",
                     options.test_images);
  require_valid(options.knn);
}

OnlineKnn::OnlineKnn(std::shared_ptr<const data::Dataset> train, std::shared_ptr<const data::Dataset> test,
                     augment::MultiCrop view, OnlineKnnOptions options)
    : train_(std::move(train)), test_(std::move(test)), view_(std::move(view)), options_(std::move(options)) {
  if (view_.views() != 1)
    throw UsageError("the online kNN takes one view an image, and this pipeline makes ", view_.views());
  require_valid(options_);
  train_samples_ = choose_samples(train_->size(), options_.train_images);
  test_samples_ = choose_samples(test_->size(), options_.test_images);
  test_ = labeled_by_folder(test_, train_->class_names());
  const auto train_labels = labels_of(*train_), test_labels = labels_of(*test_);
  require_labeled(train_labels, test_labels);
  const auto unknown = make_targets(train_labels, test_labels).unknown;
  if (unknown.images > 0) warnings_.push_back(unknown_classes(unknown, test_->size()));
}

KnnResult OnlineKnn::operator()(ssl::Encoder& encoder, const ssl::Group& group) const {
  const auto train = extract_features(encoder, train_, train_samples_, view_, options_.features, group);
  const auto test = extract_features(encoder, test_, test_samples_, view_, options_.features, group);
  return knn(train, test, options_.knn, group);
}

}  // namespace unlabel::eval
