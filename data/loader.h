#pragma once

#include <unlabel/augment/multi_crop.h>
#include <unlabel/data/dataset.h>
#include <unlabel/data/sampler.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace unlabel::data {

/// A sample that could not be used and what took its place.
struct Replacement {
  std::int64_t index;        ///< the broken sample
  std::int64_t replacement;  ///< the sample whose image was used under the broken one's key
  std::string name;          ///< of the broken sample
  std::string reason;
};

/// One step's samples, all views, in plain memory; `collate` makes tensors of it without a copy.
struct HostBatch {
  std::int64_t epoch = 0;
  std::int64_t step = 0;
  std::vector<std::int64_t> indices;                 ///< data set index of each sample
  std::vector<std::int64_t> labels;                  ///< -1 where there is none
  std::vector<std::shared_ptr<float[]>> views;       ///< per view: samples x channels x height x width
  std::vector<augment::OutputShape> shapes;          ///< per view
  std::vector<Replacement> replacements;             ///< broken samples of this batch
};

struct LoaderOptions {
  std::uint64_t seed = 0;          ///< of the views
  int threads = 2;                 ///< decoding threads; 0: decode in next()
  int prefetch = 2;                ///< finished or growing batches ahead of the consumer; bounds the memory
  augment::DecodeOptions decode;   ///< how files become pixels
};

/// Reads, decodes and augments ahead of training. Batches come in order and are bit-equal whatever the number of threads is: workers take
/// single samples, decode each once for all its crops, and write straight into the batch.
///
/// A sample that cannot be read or decoded is replaced by the next usable one in the data set's order (i + 1, i + 2, ... modulo N, under
/// the key of i, so that every rank and every resume does the same), and reported in the batch. When 100 in a row are broken, next()
/// throws Error.
class Loader {
 public:
  Loader(std::shared_ptr<const Dataset> dataset, augment::MultiCrop crops, LoaderOptions options = {});
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Begins reading steps [first_step, end_step) of an epoch; drops what was read ahead before.
  void start(const Sampler& sampler, std::int64_t epoch, std::int64_t first_step, std::int64_t end_step);

  /// The same over a plain list of samples in batches of `batch_size`, the last one possibly smaller (evaluation).
  void start(std::vector<std::int64_t> indices, std::int64_t batch_size, std::int64_t epoch = 0);

  /// The next batch, or nullopt after the last. Rethrows what a worker threw.
  std::optional<HostBatch> next();

  /// Seconds that next() has spent waiting since construction.
  double seconds_waited() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace unlabel::data
