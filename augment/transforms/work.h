#pragma once

#include <opencv2/core/mat.hpp>

#include <optional>
#include <string>

namespace unlabel::augment {

// What families of transforms see of a pipeline: what is known of the image before a step (Known), and the image itself (Work).

/// What is known about the image between two steps, before any image is seen.
struct Known {
  std::optional<cv::Size> size{};
  int channels = 3;
  bool normalized = false;
  bool floats = false;
};

// What a step may need of it. They throw UsageError that begins with `where` and says what to do.

void require_three_channels(const Known& known, const std::string& where);
/// Three channels in [0, 1].
void require_rgb(const Known& known, const std::string& where);
/// Three channels of whole levels.
void require_bytes(const Known& known, const std::string& where);
/// Of a step that fills with a color.
void require_before_normalize(const Known& known, const std::string& where);

/// The image on its way through the steps. Results alternate between two buffers of the thread, which grow as needed
/// and are kept unless huge; steps that work pixel by pixel write in place, except into the caller's image.
class Work {
 public:
  explicit Work(const cv::Mat& image) : image_(image) {}
  ~Work();
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  const cv::Mat& image() const { return image_; }
  cv::Size size() const { return image_.size(); }
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

  /// The same, of the image's own type.
  template <class Function>
  void make(cv::Size size, Function function) {
    make(size, image_.type(), function);
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

  /// Bytes become floats in [0, 1].
  void make_float();

 private:
  /// An image in the buffer that the current one is not in.
  cv::Mat next_buffer(cv::Size size, int type);

  cv::Mat image_;
  bool mine_ = false;  ///< the image is in a buffer, not the caller's
  int turn_ = 0;
};

}  // namespace unlabel::augment
