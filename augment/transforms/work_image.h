#pragma once

#include <opencv2/core/mat.hpp>

#include <optional>
#include <string>

namespace unlabel::augment {

// What a transform sees of a pipeline: what is known of the image before it (ImageInfo), and the image itself (WorkImage).

/// What is known about every image between two steps of a pipeline, before any image is read.
struct ImageInfo {
  std::optional<cv::Size> size{};
  int channels = 3;
  bool normalized = false;
  bool floats = false;
};

/// The image between two steps. Results alternate between two buffers of the thread, which grow as needed and are kept unless huge;
/// transforms of single pixels write in place, except into the caller's image.
class WorkImage {
 public:
  explicit WorkImage(const cv::Mat& image) : image_(image) {}
  ~WorkImage();
  WorkImage(const WorkImage&) = delete;
  WorkImage& operator=(const WorkImage&) = delete;

  const cv::Mat& image() const { return image_; }
  cv::Size size() const { return image_.size(); }
  bool is_float() const { return image_.depth() == CV_32F; }

  /// Keeps only a part of the image.
  void crop(cv::Rect box) { image_ = image_(box); }

  /// Replaces the image by one of that size and type, which function(image, out) writes.
  template <class Function>
  void make(cv::Size size, int type, Function function) {
    cv::Mat out = next_buffer(size, type);
    function(image_, out);
    image_ = out;
    in_buffer_ = true;
  }

  /// The same, with the image's own type.
  template <class Function>
  void make(cv::Size size, Function function) {
    make(size, image_.type(), function);
  }

  /// The same, with the image's own size and type, for a function that may work in place (`out` is `image`).
  template <class Function>
  void change(Function function) {
    if (in_buffer_) {
      function(image_, image_);
    } else {
      make(image_.size(), image_.type(), function);
    }
  }

  /// Converts bytes to floats in [0, 1].
  void make_float();

 private:
  /// An image in the buffer that does not hold the current one.
  cv::Mat next_buffer(cv::Size size, int type);

  cv::Mat image_;
  bool in_buffer_ = false;  ///< and not in the caller's memory
  int turn_ = 0;            ///< which of the two buffers holds it
};

}  // namespace unlabel::augment
