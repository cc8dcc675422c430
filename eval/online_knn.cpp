#include <unlabel/augment/error.h>
#include <unlabel/eval/online_knn.h>

#include <utility>

namespace unlabel::eval {

OnlineKnn::OnlineKnn(std::shared_ptr<const data::Dataset> train, std::shared_ptr<const data::Dataset> test,
                     augment::MultiCrop view, OnlineKnnOptions options)
    : train_(std::move(train)), test_(std::move(test)), view_(std::move(view)), options_(std::move(options)) {
  if (view_.views() != 1)
    throw UsageError("the online kNN takes one view an image, and this pipeline makes ", view_.views());
  if (options_.train_images < 1 || options_.test_images < 1)
    throw UsageError("the online kNN needs at least 1 training and 1 test image, not ", options_.train_images, " and ",
                     options_.test_images);
  train_samples_ = choose_samples(train_->size(), options_.train_images);
  test_samples_ = choose_samples(test_->size(), options_.test_images);
  for (const auto* dataset : {train_.get(), test_.get()})
    if (dataset->size() == 0 || dataset->label(0) < 0)
      throw UsageError("the online kNN needs labelled images, and there are none in ", dataset->description());
}

KnnResult OnlineKnn::operator()(ssl::Encoder& encoder, const ssl::Group& group) const {
  const auto train = extract_features(encoder, train_, train_samples_, view_, options_.features, group);
  const auto test = extract_features(encoder, test_, test_samples_, view_, options_.features, group);
  return knn(train, test, options_.knn, group);
}

}  // namespace unlabel::eval
