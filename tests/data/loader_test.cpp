#include <unlabel/augment/error.h>
#include <unlabel/augment/random.h>
#include <unlabel/data/formats.h>
#include <unlabel/data/loader.h>

#include "data/temp_folder.h"
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <new>
#include <set>
#include <thread>

namespace unlabel::data {
namespace {

augment::MultiCrop crops() {
  return augment::MultiCrop::from_json(nlohmann::json::parse(R"({"views": [
    {"count": 2, "pipeline": [{"op": "RandomResizedCrop", "size": 16}, {"op": "RandomHorizontalFlip"}, {"op": "Normalize"}]},
    {"count": 1, "pipeline": [{"op": "RandomResizedCrop", "size": 8}, {"op": "Normalize"}]}]})"));
}

/// Seeded noise in memory; some samples are broken, and reading can be watched or held up.
class FakeDataset : public Dataset {
 public:
  explicit FakeDataset(std::int64_t size, std::vector<std::int64_t> broken = {})
      : size_(size), broken_(std::move(broken)) {}

  std::int64_t size() const override { return size_; }
  void read(std::int64_t index, augment::ImageSource& out) const override {
    ++reads;
    if (on_read) on_read(index);
    if (std::ranges::find(broken_, index) != broken_.end()) throw Error("sample ", index, " is broken");
    out.bytes.clear();
    out.pixels.create(20, 24, CV_8UC3);
    cv::RNG(static_cast<std::uint64_t>(index) + 1).fill(out.pixels, cv::RNG::UNIFORM, 0, 256);
  }
  std::int64_t label(std::int64_t index) const override { return index % 7; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  std::string name(std::int64_t index) const override { return concat("fake[", index, "]"); }
  void for_each_file(const std::function<void(std::string_view, std::uint64_t)>&) const override {}
  std::string description() const override { return "fake"; }

  std::function<void(std::int64_t)> on_read;
  mutable std::atomic<int> reads{0};

 private:
  std::int64_t size_;
  std::vector<std::int64_t> broken_;
  std::vector<std::string> class_names_;
};

LoaderOptions with_threads(int threads, int prefetch = 2) {
  LoaderOptions options;
  options.seed = 5;
  options.threads = threads;
  options.prefetch = prefetch;
  return options;
}

std::vector<HostBatch> all_batches(Loader& loader) {
  std::vector<HostBatch> batches;
  while (auto batch = loader.next()) batches.push_back(std::move(*batch));
  return batches;
}

std::vector<float> view(const HostBatch& batch, std::size_t v) {
  const auto& array = batch.arrays[v];
  return {array.data<float>(), array.data<float>() + batch.indices.size() * array.spec.elements()};
}

void expect_equal(const HostBatch& a, const HostBatch& b) {
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.indices, b.indices);
  EXPECT_EQ(a.labels, b.labels);
  ASSERT_EQ(a.arrays.size(), 3u);
  ASSERT_EQ(b.arrays.size(), 3u);
  for (std::size_t v = 0; v < 3; ++v) EXPECT_EQ(a.arrays[v].spec, b.arrays[v].spec) << "view " << v;
  for (std::size_t v = 0; v < 3; ++v) EXPECT_EQ(view(a, v), view(b, v)) << "view " << v;
  ASSERT_EQ(a.replacements.size(), b.replacements.size());
  for (std::size_t i = 0; i < a.replacements.size(); ++i) {
    EXPECT_EQ(a.replacements[i].index, b.replacements[i].index);
    EXPECT_EQ(a.replacements[i].replacement, b.replacements[i].replacement);
    EXPECT_EQ(a.replacements[i].name, b.replacements[i].name);
    EXPECT_EQ(a.replacements[i].reason, b.replacements[i].reason);
  }
}

TEST(Loader, BatchesAreBitEqualWhateverTheNumberOfThreads) {
  const auto dataset = std::make_shared<FakeDataset>(60, std::vector<std::int64_t>{3, 4, 59});
  const Sampler sampler(60, 12, 1);
  std::vector<HostBatch> expected;
  for (const int threads : {0, 1, 4}) {
    for (const int prefetch : {1, 3}) {
      Loader loader(dataset, crops(), with_threads(threads, prefetch));
      loader.start(sampler, 2, 0, 5);
      auto batches = all_batches(loader);
      ASSERT_EQ(batches.size(), 5u);
      EXPECT_FALSE(loader.next().has_value());
      if (expected.empty())
        expected = std::move(batches);
      else
        for (std::size_t step = 0; step < 5; ++step) expect_equal(batches[step], expected[step]);
    }
  }
  for (std::int64_t step = 0; step < 5; ++step) {
    const auto& batch = expected[static_cast<std::size_t>(step)];
    EXPECT_EQ(batch.epoch, 2);
    EXPECT_EQ(batch.step, step);
    EXPECT_EQ(batch.indices, sampler.indices(2, step));
    ASSERT_EQ(batch.arrays.size(), 3u);
    EXPECT_EQ(batch.arrays[0].spec, (ArraySpec{"view.0", ElementType::kFloat32, {3, 16, 16}}));
    EXPECT_EQ(batch.arrays[1].spec, (ArraySpec{"view.1", ElementType::kFloat32, {3, 16, 16}}));
    EXPECT_EQ(batch.arrays[2].spec, (ArraySpec{"view.2", ElementType::kFloat32, {3, 8, 8}}));
    EXPECT_NE(view(batch, 0), view(batch, 1));
    for (const auto& array : batch.arrays) EXPECT_EQ(reinterpret_cast<std::uintptr_t>(array.memory.get()) % 64, 0u);
  }
}

TEST(Loader, RowsAreWhatTheCropsMakeOfTheSample) {
  const auto dataset = std::make_shared<FakeDataset>(10);
  Loader loader(dataset, crops(), with_threads(2));
  loader.start({7, 2, 7}, 2, 4);
  const auto batches = all_batches(loader);
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[0].indices, (std::vector<std::int64_t>{7, 2}));
  EXPECT_EQ(batches[1].indices, (std::vector<std::int64_t>{7}));
  EXPECT_EQ(batches[1].step, 1);
  EXPECT_EQ(batches[0].labels, (std::vector<std::int64_t>{0, 2}));
  const auto by_hand = crops();
  augment::ImageSource source;
  dataset->read(2, source);
  std::vector<float> first(3 * 16 * 16), second(first), third(3 * 8 * 8);
  std::vector<float*> out{first.data(), second.data(), third.data()};
  by_hand(source, {5, 4, 2, 0}, out);
  EXPECT_EQ(std::memcmp(batches[0].arrays[0].data<float>() + first.size(), first.data(), first.size() * 4), 0);
  EXPECT_EQ(std::memcmp(batches[0].arrays[1].data<float>() + second.size(), second.data(), second.size() * 4), 0);
  EXPECT_EQ(std::memcmp(batches[0].arrays[2].data<float>() + third.size(), third.data(), third.size() * 4), 0);
}

TEST(Loader, OneRanksBatchIsTheRanksSlicesJoined) {
  const auto dataset = std::make_shared<FakeDataset>(50, std::vector<std::int64_t>{0, 11});
  Loader whole(dataset, crops(), with_threads(2)), first(dataset, crops(), with_threads(1)),
      second(dataset, crops(), with_threads(0));
  whole.start(Sampler(50, 8, 3), 0, 0, 6);
  first.start(Sampler(50, 8, 3, 0, 2), 0, 0, 6);
  second.start(Sampler(50, 8, 3, 1, 2), 0, 0, 6);
  for (int step = 0; step < 6; ++step) {
    const auto all = *whole.next(), a = *first.next(), b = *second.next();
    for (std::size_t v = 0; v < 3; ++v) {
      auto joined = view(a, v);
      const auto rest = view(b, v);
      joined.insert(joined.end(), rest.begin(), rest.end());
      EXPECT_EQ(view(all, v), joined);
    }
    EXPECT_EQ(all.replacements.size(), a.replacements.size() + b.replacements.size());
  }
}

TEST(Loader, ResumesInTheMiddleOfAnEpoch) {
  const auto dataset = std::make_shared<FakeDataset>(64, std::vector<std::int64_t>{9});
  const Sampler sampler(64, 8, 3);
  Loader loader(dataset, crops(), with_threads(2));
  loader.start(sampler, 1, 0, 8);
  const auto whole = all_batches(loader);
  loader.start(sampler, 1, 5, 8);
  const auto resumed = all_batches(loader);
  ASSERT_EQ(resumed.size(), 3u);
  std::size_t replaced = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    expect_equal(resumed[i], whole[5 + i]);
    replaced += resumed[i].replacements.size();
  }
  EXPECT_GT(replaced, 0u) << "the broken sample is not among what is resumed: choose another";
}

TEST(Loader, ReplacesBrokenImagesByTheNextUsableOne) {
  // Real files, so that reading and decoding both fail: cut off, empty, gone.
  const TempFolder folder;
  for (int i = 0; i < 8; ++i) folder.write_image(concat("img", i, ".jpg"), 30, 30, static_cast<std::uint64_t>(i));
  folder.write("img2.jpg", "no image at all");
  folder.write("img3.jpg", "");
  std::string bytes;
  {
    std::ifstream in(folder / "img7.jpg", std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  folder.write("img7.jpg", bytes.substr(0, bytes.size() / 2));
  const auto dataset = open_dataset(folder.path(), Split::kTrain);
  for (const int threads : {0, 1, 4}) {
    Loader loader(dataset, crops(), with_threads(threads));
    loader.start({0, 1, 2, 3, 4, 7}, 6);
    const auto batch = *loader.next();
    EXPECT_EQ(batch.indices, (std::vector<std::int64_t>{0, 1, 2, 3, 4, 7}));
    ASSERT_EQ(batch.replacements.size(), 3u);
    EXPECT_EQ(batch.replacements[0].index, 2);
    EXPECT_EQ(batch.replacements[0].replacement, 4);
    EXPECT_EQ(batch.replacements[0].name, "img2.jpg");
    EXPECT_FALSE(batch.replacements[0].reason.empty());
    EXPECT_EQ(batch.replacements[1].index, 3);
    EXPECT_EQ(batch.replacements[1].replacement, 4);
    EXPECT_NE(batch.replacements[1].reason.find("empty"), std::string::npos);
    EXPECT_EQ(batch.replacements[2].index, 7);
    EXPECT_EQ(batch.replacements[2].replacement, 0);
    // Row 2 is image 4 under the key of sample 2, so not what row 4 holds.
    augment::ImageSource source;
    dataset->read(4, source);
    std::vector<float> first(3 * 16 * 16), second(first), third(3 * 8 * 8);
    std::vector<float*> out{first.data(), second.data(), third.data()};
    crops()(source, {5, 0, 2, 0}, out);
    EXPECT_EQ(std::memcmp(batch.arrays[0].data<float>() + 2 * first.size(), first.data(), first.size() * 4), 0);
  }
}

TEST(Loader, ALabelIsOfTheImageInTheBatch) {
  Loader loader(std::make_shared<FakeDataset>(9, std::vector<std::int64_t>{8}), crops(), with_threads(1));
  loader.start({8, 5}, 2);
  const auto batch = *loader.next();
  EXPECT_EQ(batch.labels, (std::vector<std::int64_t>{0, 5}));
  EXPECT_EQ(batch.replacements.at(0).replacement, 0);
}

TEST(Loader, ThrowsWhenAllIsBroken) {
  std::vector<std::int64_t> broken(150);
  for (std::size_t i = 0; i < broken.size(); ++i) broken[i] = static_cast<std::int64_t>(i);
  for (const int threads : {0, 1, 4}) {
    const auto dataset = std::make_shared<FakeDataset>(300, broken);
    Loader loader(dataset, crops(), with_threads(threads));
    loader.start({200, 51, 50, 201, 202, 203, 204, 205}, 2);
    EXPECT_EQ(loader.next()->replacements.at(0).replacement, 150);  // 99 broken ones, then a good one
    EXPECT_THROWS_WITH(loader.next(), Error, "100 samples in a row");
    EXPECT_THROWS_WITH(loader.next(), Error, "fake[50]");
    loader.start({200}, 1);
    EXPECT_TRUE(loader.next().has_value());

    Loader small(std::make_shared<FakeDataset>(3, broken), crops(), with_threads(threads));
    small.start({1, 2}, 2);
    EXPECT_THROWS_WITH(small.next(), Error, "3 samples in a row");
  }
}

TEST(Loader, RethrowsWhatIsNoFaultOfAnImage) {
  for (const int threads : {0, 1, 4}) {
    const auto dataset = std::make_shared<FakeDataset>(20);
    dataset->on_read = [](std::int64_t index) {
      if (index == 7) throw std::bad_alloc();
      if (index == 8) throw UsageError("too many open files");
    };
    Loader loader(dataset, crops(), with_threads(threads));
    loader.start({1, 2, 3, 7, 5, 6}, 2);
    EXPECT_TRUE(loader.next().has_value());
    EXPECT_THROW(loader.next(), std::bad_alloc);
    EXPECT_THROW(loader.next(), std::bad_alloc);
    loader.start({8}, 1);
    EXPECT_THROWS_WITH(loader.next(), UsageError, "too many open files");
  }
}

TEST(Loader, StartsAnewInTheMiddleOfBusyWork) {
  const auto dataset = std::make_shared<FakeDataset>(200);
  dataset->on_read = [](std::int64_t) { std::this_thread::sleep_for(std::chrono::microseconds(200)); };
  const Sampler sampler(200, 20, 1);
  Loader quiet(dataset, crops(), with_threads(0)), loader(dataset, crops(), with_threads(4, 3));
  for (std::int64_t epoch = 0; epoch < 12; ++epoch) {
    loader.start(sampler, epoch, epoch % 3, 10);
    if (epoch % 2 == 0) continue;
    quiet.start(sampler, epoch, epoch % 3, 10);
    for (std::int64_t i = 0; i < epoch % 4; ++i) expect_equal(*loader.next(), *quiet.next());
  }
}

TEST(Loader, EndsWhileWorkersAreBusy) {
  for (int round = 0; round < 20; ++round) {
    const auto dataset = std::make_shared<FakeDataset>(100);
    dataset->on_read = [](std::int64_t) { std::this_thread::sleep_for(std::chrono::microseconds(300)); };
    Loader loader(dataset, crops(), with_threads(4));
    if (round == 0) continue;
    loader.start(Sampler(100, 50, 1), 0, 0, 2);
    if (round % 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (round % 5 == 4) loader.next();
  }
}

TEST(Loader, ReadsAheadNoFurtherThanAsked) {
  constexpr int kBatch = 4, kPrefetch = 3;
  const auto dataset = std::make_shared<FakeDataset>(400);
  Loader loader(dataset, crops(), with_threads(4, kPrefetch));
  loader.start(Sampler(400, kBatch, 1), 0, 0, 100);
  for (int taken = 0; taken < 5; ++taken) {
    const int most = kBatch * (kPrefetch + taken);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (dataset->reads < most && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_EQ(dataset->reads, most);
    loader.next();
  }
}

TEST(Loader, UsesAgainTheMemoryOfADroppedBatch) {
  Loader loader(std::make_shared<FakeDataset>(64), crops(), with_threads(0));
  loader.start(Sampler(64, 4, 1), 0, 0, 16);
  std::set<const void*> seen;
  // What the loader would give back to the system is taken here and held, so that it cannot come again by chance.
  std::vector<std::shared_ptr<void>> taken;
  while (auto batch = loader.next()) {
    std::vector<std::size_t> sizes;
    for (std::size_t v = 0; v < batch->arrays.size(); ++v) {
      seen.insert(batch->arrays[v].memory.get());
      sizes.push_back(batch->indices.size() * batch->arrays[v].spec.bytes());
    }
    batch.reset();
    for (const auto size : sizes)
      taken.emplace_back(::operator new (size, std::align_val_t{64}),
                         [](void* memory) { ::operator delete (memory, std::align_val_t{64}); });
  }
  EXPECT_EQ(taken.size(), 48u);
  EXPECT_LE(seen.size(), 6u);
}

TEST(Loader, MemoryIsUsedAgainAndOutlivesTheLoader) {
  const auto dataset = std::make_shared<FakeDataset>(64);
  std::optional<HostBatch> last;
  {
    Loader loader(dataset, crops(), with_threads(2, 2));
    std::vector<const void*> seen;
    loader.start(Sampler(64, 4, 1), 0, 0, 16);
    while (auto batch = loader.next()) {
      if (std::ranges::find(seen, batch->arrays[0].memory.get()) == seen.end())
        seen.push_back(batch->arrays[0].memory.get());
      last = std::move(batch);
    }
    // Two read ahead, the one just handed out and the one that `last` still holds.
    EXPECT_LE(seen.size(), 4u * 2);
    EXPECT_GE(seen.size(), 2u);
  }
  last->arrays[0].data<float>()[0] = 3;
  EXPECT_EQ(last->arrays[0].data<float>()[0], 3);
  std::thread([batch = std::move(last)]() mutable { batch.reset(); }).join();
}

/// Memory that knows how much of it is out.
struct Counted {
  std::set<const void*> live, all;
  std::mutex mutex;

  bool is_out(const void* memory) {
    const std::lock_guard lock(mutex);
    return live.contains(memory);
  }
  Allocate allocate() {
    return [this](std::size_t bytes) -> std::shared_ptr<void> {
      void* memory = ::operator new (bytes, std::align_val_t{64});
      const std::lock_guard lock(mutex);
      live.insert(memory);
      all.insert(memory);
      return {memory, [this](void* p) {
                const std::lock_guard ending(mutex);
                live.erase(p);
                ::operator delete (p, std::align_val_t{64});
              }};
    };
  }
};

TEST(Loader, TakesTheMemoryOfViewsFromWhereItIsToldAndGivesAllOfItBack) {
  Counted counted;
  auto options = with_threads(2, 2);
  options.allocate = counted.allocate();
  std::optional<HostBatch> last;
  {
    Loader loader(std::make_shared<FakeDataset>(64), crops(), options);
    Loader plain(std::make_shared<FakeDataset>(64), crops(), with_threads(0));
    for (auto* each : {&loader, &plain}) each->start(Sampler(64, 4, 1), 0, 0, 16);
    while (auto batch = loader.next()) {
      expect_equal(*batch, *plain.next());
      for (const auto& array : batch->arrays) EXPECT_TRUE(counted.is_out(array.memory.get()));
      last = std::move(batch);
    }
    EXPECT_EQ(counted.live.size(), counted.all.size()) << "what has been taken is used again";
    // Three views of two batches read ahead, of the one just handed out and of the one that `last` still holds.
    EXPECT_LE(counted.all.size(), 3u * 4);
  }
  EXPECT_EQ(counted.live.size(), 3u) << "what is held outlives the loader";
  last.reset();
  EXPECT_TRUE(counted.live.empty());
}

TEST(Loader, TellsOfMemoryThatCannotBeHad) {
  for (const int threads : {0, 2}) {
    auto options = with_threads(threads);
    options.allocate = [](std::size_t) -> std::shared_ptr<void> { throw std::bad_alloc(); };
    Loader loader(std::make_shared<FakeDataset>(8), crops(), options);
    loader.start(Sampler(8, 4, 1), 0, 0, 2);
    EXPECT_THROW(loader.next(), std::bad_alloc);
  }
}

TEST(Loader, CountsTheTimeItMakesTheCallerWait) {
  const auto dataset = std::make_shared<FakeDataset>(4);
  dataset->on_read = [](std::int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(10)); };
  for (const int threads : {0, 1}) {
    Loader loader(dataset, crops(), with_threads(threads));
    EXPECT_EQ(loader.seconds_waited(), 0);
    loader.start({0, 1}, 2);
    loader.next();
    EXPECT_GE(loader.seconds_waited(), 0.015);
    EXPECT_LE(loader.seconds_waited(), 5);
  }
}

TEST(Loader, TellsWhatSixteenBitImagesUse) {
  struct Deep : FakeDataset {
    using FakeDataset::FakeDataset;
    void read(std::int64_t index, augment::ImageSource& out) const override {
      out.bytes.clear();
      out.pixels = cv::Mat(20, 24, CV_16UC1, cv::Scalar(10.0 + static_cast<double>(index)));
      out.pixels.at<std::uint16_t>(3, 4) = 4000;
    }
  };
  for (const int threads : {0, 2}) {
    auto options = with_threads(threads);
    Loader loader(std::make_shared<Deep>(6), crops(), options);
    EXPECT_EQ(loader.decode_report().deep_images, 0);
    loader.start({0, 1, 2, 3, 4, 5}, 3);
    while (loader.next()) {
    }
    EXPECT_EQ(loader.decode_report().deep_images, 6);
    EXPECT_EQ(loader.decode_report().lowest, 10);
    EXPECT_EQ(loader.decode_report().highest, 4000);
    Loader ranged(std::make_shared<Deep>(6), crops(), options, {.range = {{0, 4095}}});
    ranged.start({0, 1, 2}, 3);
    EXPECT_TRUE(ranged.next());
    EXPECT_EQ(ranged.decode_report().deep_images, 0);
  }
}

/// Lines of text as bytes; an empty one is broken.
class Lines : public FakeDataset {
 public:
  explicit Lines(std::vector<std::string> lines)
      : FakeDataset(static_cast<std::int64_t>(lines.size())), lines_(std::move(lines)) {}
  void read(std::int64_t index, RawSample& out) const override {
    const auto& line = lines_[static_cast<std::size_t>(index)];
    out.bytes.assign(line.begin(), line.end());
  }

 private:
  std::vector<std::string> lines_;
};

/// The bytes of two windows of a line, drawn by the key, and how many bytes the line has.
class TwoWindows : public SampleTransform {
 public:
  const std::vector<ArraySpec>& arrays() const override { return arrays_; }
  void operator()(const RawSample& sample, const augment::ViewKey& key, std::span<void* const> rows,
                  augment::DecodeReport&) const override {
    if (sample.bytes.size() < 4) throw Error("a line of ", sample.bytes.size(), " bytes");
    augment::Random random(key);
    auto* const ids = static_cast<std::int64_t*>(rows[0]);
    for (int window = 0; window < 2; ++window) {
      const auto begin = random.below(static_cast<std::uint32_t>(sample.bytes.size() - 3));
      for (std::uint32_t i = 0; i < 4; ++i) ids[4 * window + i] = sample.bytes[begin + i];
    }
    *static_cast<std::uint8_t*>(rows[1]) = static_cast<std::uint8_t>(sample.bytes.size());
  }
  nlohmann::json to_json() const override { return "two windows"; }

 private:
  std::vector<ArraySpec> arrays_{{"token_ids", ElementType::kInt64, {2, 4}}, {"length", ElementType::kUInt8, {}}};
};

TEST(Loader, MakesWhateverRowsItsTransformMakes) {
  const auto lines = std::make_shared<Lines>(std::vector<std::string>{"abcdefgh", "", "ijklmnopqrst", "uvwxyz"});
  std::vector<std::vector<std::int64_t>> first;
  for (const int threads : {0, 1, 4}) {
    Loader loader(lines, std::make_shared<TwoWindows>(), with_threads(threads));
    loader.start({3, 1, 0}, 3, /*epoch=*/2);
    const auto batch = loader.next();
    ASSERT_TRUE(batch);
    ASSERT_EQ(batch->arrays.size(), 2u);
    EXPECT_EQ(batch->arrays[0].spec, (ArraySpec{"token_ids", ElementType::kInt64, {2, 4}}));
    const auto* const ids = batch->arrays[0].data<std::int64_t>();
    const auto* const lengths = batch->arrays[1].data<std::uint8_t>();
    // The empty line is replaced by the next one, under its own key.
    EXPECT_EQ(std::vector<int>(lengths, lengths + 3), (std::vector<int>{6, 12, 8}));
    ASSERT_EQ(batch->replacements.size(), 1u);
    EXPECT_EQ(batch->replacements[0].index, 1);
    EXPECT_EQ(batch->replacements[0].replacement, 2);
    EXPECT_EQ(batch->replacements[0].reason, "a line of 0 bytes");
    const std::vector<std::int64_t> row(ids + 8, ids + 16);
    for (const int window : {0, 4})
      for (int i = 1; i < 4; ++i) EXPECT_EQ(row[window + i], row[window] + i) << "four letters in a row";
    augment::Random random({with_threads(0).seed, 2, 1, 0});
    EXPECT_EQ(row[0], 'i' + random.below(9));
    EXPECT_EQ(row[4], 'i' + random.below(9));
    first.emplace_back(ids, ids + 24);
    EXPECT_EQ(first.back(), first.front()) << threads << " threads";
    EXPECT_EQ(loader.decode_report().deep_images, 0);
  }
}

TEST(Loader, RefusesWrongUse) {
  const auto dataset = std::make_shared<FakeDataset>(10);
  EXPECT_THROWS_WITH(Loader(nullptr, crops()), UsageError, "empty");
  EXPECT_THROWS_WITH(Loader(std::make_shared<FakeDataset>(0), crops()), UsageError, "empty");
  EXPECT_THROWS_WITH(Loader(dataset, augment::MultiCrop()), UsageError, "no views");
  EXPECT_THROWS_WITH(Loader(dataset, crops(), with_threads(-1)), UsageError, "threads -1");
  EXPECT_THROWS_WITH(Loader(dataset, crops(), with_threads(1025)), UsageError, "threads 1025; use 0 (none) to 1024");
  EXPECT_THROWS_WITH(Loader(dataset, crops(), with_threads(1, 0)), UsageError, "prefetch 0");
  Loader loader(dataset, crops(), with_threads(1));
  EXPECT_FALSE(loader.next().has_value());
  EXPECT_THROWS_WITH(loader.start(Sampler(11, 2, 0), 0, 0, 5), UsageError, "11 samples");
  EXPECT_THROWS_WITH(loader.start(Sampler(10, 2, 0), 0, 0, 6), UsageError, "5 steps");
  EXPECT_THROWS_WITH(loader.start(Sampler(10, 2, 0), 0, 3, 2), UsageError, "steps 3 to 2");
  EXPECT_THROWS_WITH(loader.start({1, 10}, 1), UsageError, "sample 10");
  EXPECT_THROWS_WITH(loader.start({1}, 0), UsageError, "batch size 0");
  loader.start(std::vector<std::int64_t>{}, 3);
  EXPECT_FALSE(loader.next().has_value());
}

}  // namespace
}  // namespace unlabel::data
