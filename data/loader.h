#pragma once

#include <unlabel/data/dataset.h>
#include <unlabel/data/sample_transform.h>
#include <unlabel/data/sampler.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace unlabel::data {

/// A sample that could not be used, and its replacement.
struct Replacement {
  std::int64_t index;  ///< the broken sample
  std::int64_t
      replacement;   ///< the sample that was read instead, and transformed with the random key of the broken one
  std::string name;  ///< of the broken sample
  std::string reason;
};

/// One array of a batch in the host's memory.
struct HostArray {
  ArraySpec spec;
  std::shared_ptr<void> memory;  ///< samples x spec.shape, aligned to 64 bytes

  template <class T>
  T* data() const {
    return static_cast<T*>(memory.get());
  }
};

/// One step's samples in the host's memory; `collate` makes tensors of it without a copy.
struct HostBatch {
  std::int64_t epoch = 0;
  std::int64_t step = 0;
  std::vector<std::int64_t> indices;  ///< data set index of each row; of a replaced sample, the broken one's
  std::vector<std::int64_t> labels;   ///< label of each row; of a replaced sample, the replacement's; -1 without labels
  std::vector<HostArray> arrays;      ///< in the order of SampleTransform::arrays
  std::vector<Replacement> replacements;  ///< broken samples of this batch, in the order of its rows
};

/// Allocates `bytes` bytes of host memory, aligned to 64. They are freed when the last pointer is dropped, by whatever thread.
using Allocate = std::function<std::shared_ptr<void>(std::size_t bytes)>;

/// How long a rank retries files that cannot be read because of an IoError, if the other ranks wait for it for `peers_wait`: 2/5 of that,
/// so that it can report the error before they give up.
inline std::chrono::milliseconds retry_time(std::chrono::seconds peers_wait) {
  return std::chrono::milliseconds(400) * peers_wait.count();
}

struct LoaderOptions {
  std::uint64_t seed = 0;  ///< of the transform's random numbers
  int threads = 2;         ///< decoding threads; 0: decode in next()
  int prefetch = 2;        ///< batches that are finished or being filled ahead of the consumer; bounds the memory
  Allocate allocate;       ///< memory of arrays; by default plain memory. For a device: pinned_memory (collate.h)
  /// How long the loader retries while files of a batch cannot be read because of an IoError (see the function retry_time).
  std::chrono::milliseconds retry_time{60'000};
  std::function<bool()>
      stop_retrying;  ///< called between retries, on several threads: if true, next() throws the IoError
};

/// Reads and transforms samples ahead of training (of images: decodes and augments them). Batches come in order and are bit-equal
/// for any number of threads: workers take single samples and write their rows straight into the batch.
///
/// Memory: at most `prefetch` batches are finished or being filled beside those that the caller holds. When the last pointer to an
/// array's memory is dropped, the loader reuses that memory for a later batch; so code that copies it to a device asynchronously must keep
/// the pointer until the copy is done (BatchCopier). The pointer may outlive the loader.
///
/// A sample i that cannot be read or transformed (Error) is replaced by the next usable one of i + 1, i + 2, ... modulo the size of the
/// data set, transformed with the random key of i, so that every rank and every resumed run does the same; it is reported in the batch.
/// When 100 in a row (or all of a smaller set) are broken, next() throws Error. UsageError and everything else that a worker throws is
/// thrown by next() in place of the batch, at every call until the next start().
///
/// A sample that cannot be read at the moment (IoError: a disk or a network does not answer) is never replaced: it is read again after
/// growing pauses, for at most LoaderOptions::retry_time per batch; then next() throws the IoError. This time counts from the start of the
/// first read that failed. A read is not repeated if it would end after LoaderOptions::retry_time has passed, assuming that it takes as
/// long as the slowest failed read.
///
/// One thread at a time may call a loader. OpenCV runs large images on threads of its own beside the loader's; a
/// program that wants none calls cv::setNumThreads(1), which is global and hence not done here.
class Loader {
 public:
  /// Throws UsageError for an empty data set, a transform without arrays, fewer than 0 threads, or a prefetch below 1.
  Loader(std::shared_ptr<const Dataset> dataset, std::shared_ptr<const SampleTransform> transform,
         LoaderOptions options = {});
  /// A loader of images, with the transform ImageViews(views, decode).
  Loader(std::shared_ptr<const Dataset> dataset, augment::MultiCrop views, LoaderOptions options = {},
         augment::DecodeOptions decode = {});
  /// Waits for the samples that are being decoded, not for whole batches.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Begins reading steps [first_step, end_step) of an epoch; drops what was read ahead before. The sampler is copied.
  /// Throws UsageError for steps outside the epoch, or a sampler for another number of samples.
  void start(const Sampler& sampler, std::int64_t epoch, std::int64_t first_step, std::int64_t end_step);

  /// The same over a plain list of samples in batches of `batch_size`, the last one possibly smaller (evaluation).
  /// Steps count from 0. Throws UsageError for a batch size below 1 or an index outside the data set.
  void start(std::vector<std::int64_t> indices, std::int64_t batch_size, std::int64_t epoch = 0);

  /// The next batch, or nullopt after the last one and before the first start().
  std::optional<HostBatch> next();

  /// Seconds that next() has taken since construction: waiting, or with 0 threads, decoding.
  double seconds_waited() const;

  /// The decoder's warnings about images since construction; none for other data.
  augment::DecodeReport decode_report() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace unlabel::data
