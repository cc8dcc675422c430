#include <unlabel/augment/error.h>
#include <unlabel/eval/protocols/online_knn.h>
#include <unlabel/eval/test_set.h>

#include <utility>

namespace unlabel::eval {

void require_valid(const OnlineKnnOptions& options) {
  if (options.train_images < 1 || options.test_images < 1)
    throw UsageError("the online kNN needs at least 1 training and 1 test image, not ", options.train_images, " and ",
                     options.test_images);
}

OnlineKnn::OnlineKnn(std::shared_ptr<const data::Dataset> train, std::shared_ptr<const data::Dataset> test,
                     augment::MultiCrop view, ProtocolSpec protocol, OnlineKnnOptions options)
    : train_(std::move(train)),
      test_(std::move(test)),
      view_(std::move(view)),
      protocol_(std::move(protocol)),
      options_(std::move(options)) {
  if (view_.views() != 1)
    throw UsageError("the online kNN takes one view per image, and this pipeline makes ", view_.views());
  require_valid(options_);
  if (!protocol_.run_on_features) throw UsageError("the online kNN needs a protocol on features, not ", protocol_.name);
  train_samples_ = choose_samples(train_->size(), options_.train_images);
  test_samples_ = choose_samples(test_->size(), options_.test_images);
  test_ = labeled_by_folder(test_, train_->class_names());
  const auto train_labels = labels_of(*train_), test_labels = labels_of(*test_);
  require_labeled(train_labels, test_labels);
  const auto unknown = make_targets(train_labels, test_labels).unknown;
  if (unknown.images > 0) warnings_.push_back(unknown_classes(unknown, test_->size()));
}

Report OnlineKnn::operator()(ssl::Encoder& encoder, const ssl::Group& group) const {
  const auto train = extract_features(encoder, train_, view_, options_.features, group, train_samples_);
  const auto test = extract_features(encoder, test_, view_, options_.features, group, test_samples_);
  return protocol_.run_on_features(protocol_.options, train, test, {.group = group, .features = options_.features});
}

}  // namespace unlabel::eval
