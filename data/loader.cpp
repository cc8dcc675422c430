#include <unlabel/augment/system_error.h>
#include <unlabel/data/io/retry.h>
#include <unlabel/data/loader.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <new>
#include <system_error>

namespace unlabel::data {

namespace {

constexpr std::int64_t kMaxBrokenInARow = 100;
constexpr std::align_val_t kAlignment{64};
constexpr int kMostThreads = 1024;

std::shared_ptr<void> plain_memory(std::size_t bytes) {
  return {::operator new(bytes, kAlignment), [](void* memory) { ::operator delete(memory, kAlignment); }};
}

/// Memory of arrays by their bytes. Lives as long as the loader or any pointer that it gave out; only the loader's end empties
/// it.
class Pool : public std::enable_shared_from_this<Pool> {
 public:
  Pool(std::size_t keep, Allocate allocate)
      : allocate_(allocate ? std::move(allocate) : Allocate(&plain_memory)), keep_(keep) {}

  std::shared_ptr<void> take(std::size_t size) {
    std::shared_ptr<void> memory;
    {
      const std::lock_guard lock(mutex_);
      if (auto& free = free_[size]; !free.empty()) {
        memory = std::move(free.back());
        free.pop_back();
        --kept_;
      }
    }
    if (!memory) memory = allocate_(size);
    void* const first = memory.get();
    return {first, [pool = shared_from_this(), memory = std::move(memory), size](void*) mutable {
              pool->give_back(std::move(memory), size);
            }};
  }

  void close() {
    const std::lock_guard lock(mutex_);
    keep_ = kept_ = 0;
    free_.clear();
  }

 private:
  /// What is not kept goes back to where it came from.
  void give_back(std::shared_ptr<void> memory, std::size_t size) noexcept {
    const std::lock_guard lock(mutex_);
    if (kept_ == keep_) drop_one_unlike(size);
    if (kept_ == keep_) return;
    try {
      free_[size].push_back(std::move(memory));
      ++kept_;
    } catch (const std::bad_alloc&) {
    }
  }

  /// Sizes change with the batch size; memory of sizes no longer used must not take the place of memory that is.
  void drop_one_unlike(std::size_t size) {
    for (auto& [other, free] : free_) {
      if (other == size || free.empty()) continue;
      free.pop_back();
      --kept_;
      return;
    }
  }

  std::mutex mutex_;
  const Allocate allocate_;
  std::map<std::size_t, std::vector<std::shared_ptr<void>>> free_;
  std::size_t keep_, kept_ = 0;
};

/// A batch that is being filled. Workers hold it, so that one dropped by start() lives until the last of them has finished
/// its sample.
struct PendingBatch {
  HostBatch batch;
  std::size_t taken = 0;  ///< rows that were begun
  std::size_t done = 0;
  std::exception_ptr error;
  std::size_t error_row = 0;
  std::vector<std::pair<std::size_t, Replacement>> replacements;  ///< by row
  /// When the first read that failed with an IoError began, and how long the longest such read took.
  std::optional<std::chrono::steady_clock::time_point> trouble_began;
  std::chrono::steady_clock::duration longest_read{};

  std::size_t rows() const { return batch.indices.size(); }
  bool finished() const { return done == rows(); }

  void fail(std::size_t row, std::exception_ptr what) {
    if (error && error_row <= row) return;
    error = std::move(what);
    error_row = row;
  }
};

/// Memory that a thread reuses for every sample.
struct Scratch {
  RawSample sample;
  std::vector<void*> rows;
};

}  // namespace

// How batches move: the queue pending_ holds the next `prefetch` steps in order. A worker takes the first row that nobody has begun
// (open_batch), fills it without the lock (process) and takes the next; when there is none, it waits on work_. next() waits on done_ for
// the front of the queue to be finished, removes it, and wakes the workers, for which there is room for another batch then. start() empties
// the queue; rows that are being filled go to batches that are dropped with the last worker's pointer. Without workers next() fills rows
// itself.
struct Loader::Impl {
  Impl(std::shared_ptr<const Dataset> dataset, std::shared_ptr<const SampleTransform> transform, LoaderOptions options)
      : dataset_(std::move(dataset)), transform_(std::move(transform)), options_(std::move(options)) {
    if (!dataset_ || dataset_->size() < 1) throw UsageError("the data set is empty; there is nothing to load");
    if (!transform_ || transform_->arrays().empty()) throw UsageError("the loader's transform makes no arrays");
    if (options_.threads < 0 || options_.threads > kMostThreads)
      throw UsageError("loader threads ", options_.threads, "; use 0 (none) to ", kMostThreads);
    if (options_.prefetch < 1) throw UsageError("loader prefetch ", options_.prefetch, "; use at least 1 batch");
    // One batch more than are read ahead: the one that the caller has just dropped.
    pool_ = std::make_shared<Pool>(transform_->arrays().size() * (static_cast<std::size_t>(options_.prefetch) + 1),
                                   options_.allocate);
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    work_.notify_all();
    for (auto& worker : workers_) worker.join();
    pending_.clear();
    pool_->close();
  }

  void start(std::function<std::vector<std::int64_t>(std::int64_t)> indices, std::int64_t epoch, std::int64_t first,
             std::int64_t end) {
    {
      const std::lock_guard lock(mutex_);
      pending_.clear();
      indices_ = std::move(indices);
      epoch_ = epoch;
      next_step_ = first;
      end_step_ = end;
    }
    work_.notify_all();
    try {
      while (static_cast<int>(workers_.size()) < options_.threads) workers_.emplace_back([this] { work(); });
    } catch (const std::system_error&) {  // no more threads can be started: go on with those that were
      if (workers_.empty())
        throw UsageError("no loader thread can be started (a limit of processes?); use --threads 0");
    }
  }

  /// Appends the next step's batch, with rows that are not yet written. Requires mutex_, unless there are no workers.
  void begin_batch() {
    auto pending = std::make_shared<PendingBatch>();
    auto& batch = pending->batch;
    batch.epoch = epoch_;
    batch.step = next_step_++;
    try {
      batch.indices = indices_(batch.step);
      batch.labels.assign(batch.indices.size(), -1);
      for (const auto& spec : transform_->arrays())
        batch.arrays.push_back({spec, pool_->take(batch.indices.size() * spec.bytes())});
    } catch (...) {
      batch.indices.clear();
      pending->fail(0, std::current_exception());
    }
    pending_.push_back(std::move(pending));
  }

  /// After an attempt to read a file of this batch that began at `began` and failed: waits for the next one. False when there is none, as
  /// it would end after options_.retry_time if it took as long as the longest before.
  bool wait_out(PendingBatch& pending, int attempt, std::chrono::steady_clock::time_point began) {
    constexpr std::chrono::milliseconds kSlice{50};  // between two calls of stop_retrying
    std::unique_lock lock(mutex_);
    const auto now = std::chrono::steady_clock::now(), again = now + retry_pause(attempt);
    pending.trouble_began = std::min(began, pending.trouble_began.value_or(began));
    pending.longest_read = std::max(pending.longest_read, now - began);
    if (again + pending.longest_read > *pending.trouble_began + options_.retry_time) return false;
    while (!stop_ && std::chrono::steady_clock::now() < again) {
      if (options_.stop_retrying && options_.stop_retrying()) return false;
      work_.wait_for(lock, kSlice, [&] { return stop_; });
    }
    return !stop_;
  }

  void read_patiently(PendingBatch& pending, std::int64_t index, RawSample& sample) {
    for (int attempt = 0;; ++attempt) {
      const auto began = std::chrono::steady_clock::now();
      try {
        return dataset_->read(index, sample);
      } catch (const IoError&) {
        if (!wait_out(pending, attempt, began)) throw;
      }
    }
  }

  /// Fills one row and touches no other row of the batch. Returns the replacement, if the sample is broken. Adds the decoder's warnings to
  /// `report`.
  std::optional<Replacement> fill(PendingBatch& pending, std::size_t row, Scratch& scratch,
                                  augment::DecodeReport& report) {
    auto& batch = pending.batch;
    const auto index = batch.indices[row];
    const augment::ViewKey key{options_.seed, static_cast<std::uint64_t>(batch.epoch),
                               static_cast<std::uint64_t>(index), 0};
    scratch.rows.clear();
    for (const auto& array : batch.arrays) scratch.rows.push_back(array.data<std::byte>() + row * array.spec.bytes());
    std::string reason;
    const auto attempts = std::min(kMaxBrokenInARow, dataset_->size());
    for (std::int64_t attempt = 0; attempt < attempts; ++attempt) {
      const auto used = (index + attempt) % dataset_->size();
      const auto broken = broken_reason([&] {
        read_patiently(pending, used, scratch.sample);
        (*transform_)(scratch.sample, key, scratch.rows, report);
        batch.labels[row] = dataset_->label(used);
      });
      if (!broken && attempt == 0) return std::nullopt;
      if (!broken) return Replacement{index, used, dataset_->name(index), std::move(reason)};
      if (attempt == 0) reason = *broken;
    }
    throw Error(attempts, " samples in a row cannot be used, from ", dataset_->name(index), " on (", reason,
                "); look at ", dataset_->description());
  }

  /// Fills one row and records the outcome; `lock` is released during the work itself.
  void process(PendingBatch& pending, std::size_t row, Scratch& scratch, std::unique_lock<std::mutex>& lock) {
    const bool failed = pending.error != nullptr;  // then the other rows need no work
    lock.unlock();
    std::optional<Replacement> replacement;
    std::exception_ptr error;
    augment::DecodeReport report;
    if (!failed) {
      try {
        replacement = fill(pending, row, scratch, report);
      } catch (...) {
        error = std::current_exception();
      }
    }
    lock.lock();
    decoded_ += report;
    if (replacement) pending.replacements.emplace_back(row, std::move(*replacement));
    if (error) pending.fail(row, std::move(error));
    ++pending.done;
  }

  /// The first batch with rows that no worker has begun; begins a new one when there is room.
  std::shared_ptr<PendingBatch> open_batch() {
    for (const auto& pending : pending_) {
      if (pending->taken < pending->rows()) return pending;
    }
    if (next_step_ == end_step_ || pending_.size() >= static_cast<std::size_t>(options_.prefetch)) return nullptr;
    begin_batch();
    work_.notify_all();
    if (pending_.back()->finished()) done_.notify_one();
    return pending_.back();
  }

  void work() {
    Scratch scratch;
    std::unique_lock lock(mutex_);
    while (!stop_) {
      const auto pending = open_batch();
      if (!pending) {
        work_.wait(lock);
        continue;
      }
      if (pending->taken == pending->rows()) continue;  // its indices or memory failed
      process(*pending, pending->taken++, scratch, lock);
      if (pending->finished()) done_.notify_one();
    }
  }

  std::optional<HostBatch> next() {
    const auto begin = std::chrono::steady_clock::now();
    std::unique_lock lock(mutex_);
    if (pending_.empty() && next_step_ == end_step_) return std::nullopt;
    if (workers_.empty()) {  // no threads: fill the batch here
      if (pending_.empty()) begin_batch();
      while (pending_.front()->taken < pending_.front()->rows())
        process(*pending_.front(), pending_.front()->taken++, scratch_, lock);
    }
    done_.wait(lock, [&] { return !pending_.empty() && pending_.front()->finished(); });
    seconds_waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const auto pending = pending_.front();
    if (pending->error) std::rethrow_exception(pending->error);  // it stays the front, so every later call throws too
    pending_.pop_front();
    lock.unlock();
    work_.notify_all();
    // Workers finish rows in any order; the batch lists replacements by row.
    std::ranges::sort(pending->replacements, {}, [](const auto& entry) { return entry.first; });
    for (auto& [row, replacement] : pending->replacements)
      pending->batch.replacements.push_back(std::move(replacement));
    return std::move(pending->batch);
  }

  const std::shared_ptr<const Dataset> dataset_;
  const std::shared_ptr<const SampleTransform> transform_;
  const LoaderOptions options_;
  std::shared_ptr<Pool> pool_;

  std::mutex mutex_;  ///< guards what follows, up to stop_
  std::condition_variable work_, done_;
  std::deque<std::shared_ptr<PendingBatch>> pending_;  ///< in the order of their steps; at most `prefetch`
  std::function<std::vector<std::int64_t>(std::int64_t)> indices_;
  std::int64_t epoch_ = 0, next_step_ = 0, end_step_ = 0;
  augment::DecodeReport decoded_;
  bool stop_ = false;

  std::vector<std::thread> workers_;
  Scratch scratch_;
  double seconds_waited_ = 0;
};

Loader::Loader(std::shared_ptr<const Dataset> dataset, std::shared_ptr<const SampleTransform> transform,
               LoaderOptions options)
    : impl_(std::make_unique<Impl>(std::move(dataset), std::move(transform), std::move(options))) {}

Loader::Loader(std::shared_ptr<const Dataset> dataset, augment::MultiCrop views, LoaderOptions options,
               augment::DecodeOptions decode)
    : Loader(std::move(dataset), std::make_shared<ImageViews>(std::move(views), decode), std::move(options)) {}

Loader::~Loader() = default;

void Loader::start(const Sampler& sampler, std::int64_t epoch, std::int64_t first_step, std::int64_t end_step) {
  if (sampler.samples() != impl_->dataset_->size())
    throw UsageError("the sampler is for ", sampler.samples(), " samples and the data set has ",
                     impl_->dataset_->size());
  if (first_step < 0 || end_step < first_step || end_step > sampler.steps_per_epoch())
    throw UsageError("steps ", first_step, " to ", end_step, " are not in an epoch of ", sampler.steps_per_epoch(),
                     " steps");
  impl_->start([sampler, epoch](std::int64_t step) { return sampler.indices(epoch, step); }, epoch, first_step,
               end_step);
}

void Loader::start(std::vector<std::int64_t> indices, std::int64_t batch_size, std::int64_t epoch) {
  if (batch_size < 1) throw UsageError("batch size ", batch_size, "; use at least 1");
  for (const auto index : indices) {
    if (index < 0 || index >= impl_->dataset_->size())
      throw UsageError("sample ", index, " is not in ", impl_->dataset_->description(), "; count them from 0");
  }
  const auto samples = static_cast<std::int64_t>(indices.size());
  const auto steps = samples / batch_size + (samples % batch_size != 0);
  impl_->start(
      [list = std::make_shared<const std::vector<std::int64_t>>(std::move(indices)), batch_size,
       samples](std::int64_t step) {
        const auto first = list->begin() + step * batch_size;
        return std::vector<std::int64_t>(first, first + std::min(batch_size, samples - step * batch_size));
      },
      epoch, 0, steps);
}

std::optional<HostBatch> Loader::next() { return impl_->next(); }
double Loader::seconds_waited() const { return impl_->seconds_waited_; }

augment::DecodeReport Loader::decode_report() const {
  const std::lock_guard lock(impl_->mutex_);
  return impl_->decoded_;
}

}  // namespace unlabel::data
