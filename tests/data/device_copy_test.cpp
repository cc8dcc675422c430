#include <unlabel/augment/error.h>
#include <unlabel/data/collate.h>

#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <gtest/gtest.h>
#include <torch/library.h>
#include <torch/types.h>

#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

namespace unlabel::data {
namespace {

// A device of LibTorch's PrivateUse1 slot that works as late as it may, or whose copies are done at once: what is queued on a stream runs
// when somebody waits for it. Its memory is the host's. Memory that is given back is overwritten as soon as the allocator of a GPU could
// give it to somebody else.
constexpr auto kLate = c10::DeviceType::PrivateUse1;
constexpr int kComputing = 0, kCopying = 1;

struct Work {
  std::deque<std::function<void()>> waiting;
  std::size_t queued = 0, done = 0;

  void run_until(std::size_t place) {
    while (done < place) {
      const auto next = std::move(waiting.front());
      waiting.pop_front();
      ++done;
      next();
    }
  }
};
Work streams[2];
int current = kComputing;
bool copies_at_once = false;
bool throughout_on_host = false;

void enqueue(int stream, std::function<void()> work) {
  streams[stream].waiting.push_back(std::move(work));
  ++streams[stream].queued;
  if (stream == kCopying && copies_at_once) streams[stream].run_until(streams[stream].queued);
}

struct Block {
  std::size_t bytes;
  int stream;                ///< whose work may use the memory again without waiting
  std::set<int> recorded{};  ///< others that must have come to where they are when it is given back
};
std::map<void*, Block> blocks;

void give_back(void* memory) {
  if (!memory) return;
  const auto block = blocks.at(memory);
  const auto overwrite = [memory, block] { std::memset(memory, 0xFF, block.bytes); };
  if (block.recorded.empty()) enqueue(block.stream, overwrite);
  for (const int stream : block.recorded) enqueue(stream, overwrite);
}

struct LateAllocator final : c10::Allocator {
  c10::DataPtr allocate(std::size_t bytes) override {
    static std::vector<std::unique_ptr<char[]>> all;  // never used again, so that no test reads another's
    all.push_back(std::make_unique<char[]>(bytes + 1));
    blocks[all.back().get()] = {bytes, current};
    return {all.back().get(), all.back().get(), &give_back, c10::Device(kLate, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }
} late_allocator;

std::set<const void*> pinned;
void release_pinned(void* memory) {
  pinned.erase(memory);
  ::operator delete (memory, std::align_val_t{64});
}
struct PinnedAllocator final : c10::Allocator {
  c10::DataPtr allocate(std::size_t bytes) override {
    void* memory = ::operator new (bytes + 64, std::align_val_t{64});
    pinned.insert(memory);
    return {memory, memory, &release_pinned, c10::kCPU};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release_pinned; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }
} pinned_allocator;

struct Place {
  int stream;
  std::size_t place;
};

struct LateGuard final : c10::impl::DeviceGuardImplInterface {
  static c10::Stream stream(int number) {
    return c10::Stream(c10::Stream::UNSAFE, c10::Device(kLate, 0), static_cast<c10::StreamId>(number));
  }
  c10::DeviceType type() const override { return kLate; }
  c10::Device exchangeDevice(c10::Device) const override { return {kLate, 0}; }
  c10::Device getDevice() const override { return {kLate, 0}; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return stream(current); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream(kComputing); }
  c10::Stream getStreamFromGlobalPool(c10::Device, bool) const override { return stream(kCopying); }
  c10::Stream exchangeStream(c10::Stream to) const override {
    return stream(std::exchange(current, static_cast<int>(to.id())));
  }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void** event, const c10::Stream& stream, const c10::DeviceIndex, const c10::EventFlag) const override {
    if (!*event) *event = new Place;
    const int number = static_cast<int>(stream.id());
    *static_cast<Place*>(*event) = {number, streams[number].queued};
  }
  void block(void* event, const c10::Stream& stream) const override {
    const auto place = *static_cast<Place*>(event);
    enqueue(static_cast<int>(stream.id()), [place] { streams[place.stream].run_until(place.place); });
  }
  bool queryEvent(void* event) const override {
    const auto place = *static_cast<Place*>(event);
    return streams[place.stream].done >= place.place;
  }
  void synchronizeEvent(void* event) const override {
    if (!event) return;
    const auto place = *static_cast<Place*>(event);
    streams[place.stream].run_until(place.place);
  }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override { delete static_cast<Place*>(event); }
  void recordDataPtrOnStream(const c10::DataPtr& data, const c10::Stream& stream) const override {
    blocks.at(data.get()).recorded.insert(static_cast<int>(stream.id()));
  }
};

struct LateHooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(at::DeviceIndex) const override { return true; }
  void init() const override {}
  at::DeviceIndex deviceCount() const override { return 1; }
  at::DeviceIndex getCurrentDevice() const override { return 0; }
  bool isPinnedPtr(const void* data) const override { return pinned.contains(data); }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator; }
  at::Device getDeviceFromPtr(void*) const override { return {kLate, 0}; }
};

at::Tensor empty_memory_format(c10::IntArrayRef size, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
                               std::optional<c10::Device>, std::optional<bool>,
                               std::optional<c10::MemoryFormat> format) {
  return at::detail::empty_generic(size, &late_allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}
at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> dtype,
                         std::optional<c10::Layout>, std::optional<c10::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(
      size, stride, &late_allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype));
}
/// As a GPU's: only with `non_blocking` and pinned memory the host goes on.
at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  // LibTorch's own pinned memory waits for copies of it; other memory is its owner's business.
  at::Storage keep;
  if (from.storage().data_ptr().get_deleter() == &release_pinned) keep = from.storage();
  enqueue(current, [keep, source = from.data_ptr(), target = to.data_ptr(), bytes = from.nbytes()] {
    std::memcpy(target, source, bytes);
  });
  if (from.is_cpu() && (!non_blocking || !pinned.contains(from.data_ptr()))) {
    throughout_on_host = true;
    streams[current].run_until(streams[current].queued);
  }
  return to;
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty_memory_format);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
}

c10::Device late_device() {
  static const bool once = [] {
    c10::register_privateuse1_backend("late");
    c10::SetAllocator(kLate, &late_allocator);
    static c10::impl::DeviceGuardImplRegistrar registrar(kLate, new LateGuard());
    at::RegisterPrivateUse1HooksInterface(new LateHooks());
    return true;
  }();
  (void)once;
  return {kLate, 0};
}

/// What the device has computed by now.
at::Tensor on_host(const at::Tensor& tensor) {
  return torch::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.options().device(torch::kCPU)).clone();
}

/// Noise in memory.
class Noise : public Dataset {
 public:
  std::int64_t size() const override { return 40; }
  void read(std::int64_t index, augment::ImageSource& out) const override {
    out.bytes.clear();
    out.pixels.create(20, 24, CV_8UC3);
    for (std::int64_t i = 0; i < 20 * 24 * 3; ++i)
      out.pixels.data[i] = static_cast<unsigned char>((index + 1) * (i + 3) * 97 % 251);
  }
  std::int64_t label(std::int64_t) const override { return -1; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  std::string name(std::int64_t index) const override { return concat("noise[", index, "]"); }
  void for_each_file(const std::function<void(std::string_view, std::uint64_t)>&) const override {}
  std::string description() const override { return "noise"; }

 private:
  std::vector<std::string> class_names_;
};

Loader make_loader(Allocate allocate) {
  const auto crops = augment::MultiCrop::from_json(nlohmann::json::parse(R"({"views": [
    {"count": 2, "pipeline": [{"op": "RandomResizedCrop", "size": 16}, {"op": "Normalize"}]},
    {"count": 1, "pipeline": [{"op": "RandomResizedCrop", "size": 8}, {"op": "Normalize"}]}]})"));
  LoaderOptions options;
  options.threads = 0;
  options.allocate = std::move(allocate);
  return {std::make_shared<Noise>(), crops, options};
}

TEST(BatchCopier, HoldsMemoryUntilItIsCopiedAndUsed) {
  const auto device = late_device();
  for (const bool at_once : {false, true}) {
    SCOPED_TRACE(at_once ? "copies before all else" : "copies as late as may be");
    copies_at_once = at_once;
    throughout_on_host = false;
    auto plain = make_loader({}), loader = make_loader(pinned_memory(device));
    for (auto* each : {&plain, &loader}) each->start(Sampler(40, 4, 1), 0, 0, 10);
    std::vector<std::vector<at::Tensor>> results;
    {
      BatchCopier copier(device);
      while (auto batch = loader.next()) {
        for (const auto& array : batch->arrays) EXPECT_TRUE(pinned.contains(array.memory.get()));
        auto there = copier(*batch);
        batch.reset();  // from here on the loader may write to it again
        // The step: each view is read, some time later.
        results.emplace_back();
        there.tensors.emplace_back("indices", there.indices);
        for (const auto& [name, view] : there.tensors) results.back().push_back(at::empty_like(view).copy_(view));
        EXPECT_GE(streams[kComputing].waiting.size(), there.tensors.size()) << "nobody waits for this step";
        // Two batches at most are ahead of what is done.
        if (results.size() > 2) {
          EXPECT_LE(streams[kComputing].waiting.size(), 3 * (2 * there.tensors.size() + 4)) << "nor runs far ahead";
        }
      }
    }
    EXPECT_TRUE(streams[kCopying].waiting.empty()) << "the copier's end waits for copies";
    EXPECT_FALSE(throughout_on_host) << "a copy was waited for";
    streams[kComputing].run_until(streams[kComputing].queued);
    ASSERT_EQ(results.size(), 10u);
    for (std::size_t step = 0; step < results.size(); ++step) {
      const auto expected = plain.next();
      const auto tensors = collate(*expected);
      const auto views = tensors.views();
      for (std::size_t v = 0; v < views.size(); ++v)
        EXPECT_TRUE(on_host(results[step][v]).equal(views[v])) << "step " << step << ", view " << v;
      EXPECT_TRUE(on_host(results[step].back()).equal(tensors.indices)) << "step " << step;
    }
  }
}

TEST(BatchCopier, SharesTheBatchsMemoryOnTheCpu) {
  EXPECT_FALSE(pinned_memory(c10::kCPU)) << "plain memory";
  auto loader = make_loader({});
  loader.start(Sampler(40, 4, 1), 0, 0, 1);
  const auto batch = loader.next();
  BatchCopier copier(c10::kCPU);
  const auto same = copier(*batch);
  ASSERT_EQ(same.tensors.size(), 3u);
  for (std::size_t v = 0; v < 3; ++v) EXPECT_EQ(same.tensors[v].second.data_ptr(), batch->arrays[v].memory.get());
  EXPECT_TRUE(same.indices.equal(collate(*batch).indices));
  const auto host = torch::arange(3);
  EXPECT_TRUE(to_device(host, c10::kCPU).is_same(host));
}

TEST(ToDevice, TheHostMayChangeWhatItGaveAtOnce) {
  const auto device = late_device();
  copies_at_once = throughout_on_host = false;
  auto host = torch::arange(5);
  const auto there = to_device(host, device);
  host.zero_();
  host.reset();
  EXPECT_FALSE(throughout_on_host);
  streams[kComputing].run_until(streams[kComputing].queued);
  EXPECT_TRUE(on_host(there).equal(torch::arange(5)));
}

}  // namespace
}  // namespace unlabel::data
