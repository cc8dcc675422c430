#include <unlabel/augment/error.h>
#include <unlabel/ssl/method.h>

namespace unlabel::ssl {

const data::ImageViews& EpochContext::image_views() const {
  if (const auto* views = dynamic_cast<const data::ImageViews*>(transform)) return *views;
  throw Error("the samples are not views of images");
}

void require_views(Method& method, const augment::MultiCrop& views) {
  method.check_views(views);
  auto& encoder = image_encoder(method.encoder());
  for (int view = 0; view < views.views(); ++view)
    encoder.check_size(views.shape(view).height, views.shape(view).width);
}

}  // namespace unlabel::ssl
