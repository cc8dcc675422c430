#include <unlabel/augment/error.h>
#include <unlabel/augment/system_error.h>
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/launch/run/event_file.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace unlabel::launch {

namespace {

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
    table[i] = crc;
  }
  return table;
}
constexpr auto kCrcTable = make_crc_table();

/// TFRecord masks its checksums, because the CRC of data that contains its own CRC is a constant.
std::uint32_t masked_crc(const std::string& bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

template <class T>
std::string little_endian(T value) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// Protocol buffers' wire format: a field is a varint of (number << 3 | type) and its value.
// Strings and messages (kBytes) have their length, a varint, before their bytes.
enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}
std::string tag(int field, WireType type) { return varint(static_cast<std::uint64_t>(field << 3 | type)); }
std::string text(int field, const std::string& bytes) {
  std::string out = tag(field, kBytes);
  return out.append(varint(bytes.size())).append(bytes);
}
std::string integer(int field, std::int64_t value) {
  std::string out = tag(field, kVarint);
  return out.append(varint(static_cast<std::uint64_t>(value)));
}

// Field numbers of tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto.
enum EventField { kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7 };
enum SummaryField { kValue = 1, kTag = 1, kSimpleValue = 2 };
constexpr int kSessionStatus = 1, kSessionStart = 1;

/// An Event message: the wall time in seconds, the step, and the encoded field `what`.
std::string event(std::int64_t step, const std::string& what) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  std::string out = tag(kWallTime, kFixed64);
  return out.append(little_endian(now.count())).append(integer(kStep, step)).append(what);
}

/// A TFRecord record around an encoded message.
std::string record(const std::string& bytes) {
  std::string length = little_endian(std::uint64_t{bytes.size()}), out = length;
  return out.append(little_endian(masked_crc(length))).append(bytes).append(little_endian(masked_crc(bytes)));
}

}  // namespace

std::uint32_t crc32c(const std::string& bytes) {
  std::uint32_t crc = 0xffffffffu;
  for (const char byte : bytes) crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<std::uint8_t>(byte)) & 0xff];
  return ~crc;
}

EventFile::EventFile(const std::string& folder, std::int64_t first_step) {
  char host[64] = "?";
  ::gethostname(host, sizeof host - 1);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  // TensorBoard reads the files of a folder in the order of their names, so the name begins with the time.
  const std::string path =
      concat(folder, "/events.out.tfevents.", std::chrono::duration_cast<std::chrono::seconds>(now).count(), ".", host,
             ".", ::getpid(), ".", first_step);
  // A file begins with the version of the format; the session start makes TensorBoard discard older events from this step on.
  const auto start = record(event(0, text(kFileVersion, "brain.Event:2"))) +
                     record(event(first_step, text(kSessionLog, integer(kSessionStatus, kSessionStart))));
  file_ = data::FileDescriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (file_.get() >= 0 && data::append_atomically(file_.get(), start)) return;
  const int reason = errno;  // concat may change it
  throw_system_error(concat("cannot write ", path), reason);
}

void EventFile::flush() { ::fsync(file_.get()); }

bool EventFile::append(std::int64_t step, const std::vector<std::pair<std::string, double>>& scalars) {
  std::string summary;
  for (const auto& [name, value] : scalars) {
    std::string one = text(kTag, name);
    one.append(tag(kSimpleValue, kFixed32)).append(little_endian(static_cast<float>(value)));
    summary.append(text(kValue, one));
  }
  return data::append_atomically(file_.get(), record(event(step, text(kSummary, summary))));
}

}  // namespace unlabel::launch
