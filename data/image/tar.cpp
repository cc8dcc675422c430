#include <unlabel/augment/error.h>
#include <unlabel/data/image/tar.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

namespace unlabel::data {

namespace {

using Block = std::array<char, kTarBlock>;

/// Fields of a header (POSIX.1-1988 ustar; GNU tar puts other things into what it calls prefix).
struct Field {
  std::size_t begin, size;
};
constexpr Field kName{0, 100}, kMode{100, 8}, kUser{108, 8}, kGroup{116, 8}, kSize{124, 12}, kTime{136, 12},
    kChecksum{148, 8}, kLink{157, 100}, kMagic{257, 8}, kPrefix{345, 155};
constexpr std::size_t kType = 156;
constexpr std::uint64_t kLongestName = 1 << 16;

std::string_view text_of(std::span<const char, kTarBlock> block, Field field) {
  const std::string_view whole(block.data() + field.begin, field.size);
  return whole.substr(0, whole.find('\0'));
}

/// An octal number, or GNU's base 256 for what does not fit.
std::optional<std::uint64_t> number_of(const Block& block, Field field) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(block.data()) + field.begin;
  std::uint64_t value = 0;
  if (bytes[0] == 0x80) {
    for (std::size_t i = 1; i < field.size; ++i) {
      if (value >> 56 != 0) return std::nullopt;
      value = value << 8 | bytes[i];
    }
    return value;
  }
  auto text = text_of(block, field);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  if (text.empty()) return 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The sum of the header's bytes, its own field taken as spaces.
std::uint64_t checksum_of(const Block& block) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    const bool own = i >= kChecksum.begin && i < kChecksum.begin + kChecksum.size;
    sum += own ? ' ' : static_cast<unsigned char>(block[i]);
  }
  return sum;
}

/// What a pax header says of the file after it: lines of "LENGTH KEY=VALUE\n".
struct Pax {
  std::optional<std::string> path, link;
  std::optional<std::uint64_t> size;
};

std::optional<Pax> parse_pax(std::string_view text) {
  Pax pax;
  while (!text.empty()) {
    std::size_t length = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), length);
    const auto digits = static_cast<std::size_t>(rest - text.data());
    if (error != std::errc() || length > text.size() || length < digits + 3 || *rest != ' ' || text[length - 1] != '\n')
      return std::nullopt;
    const auto line = text.substr(digits + 1, length - digits - 2);
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const auto key = line.substr(0, equals), value = line.substr(equals + 1);
    if (key == "path") pax.path = std::string(value.substr(0, value.find('\0')));
    if (key == "linkpath") pax.link = std::string(value.substr(0, value.find('\0')));
    if (key == "size") {
      std::uint64_t size = 0;
      const auto [end, wrong] = std::from_chars(value.data(), value.data() + value.size(), size);
      if (wrong != std::errc() || end != value.data() + value.size()) return std::nullopt;
      pax.size = size;
    }
    text.remove_prefix(length);
  }
  return pax;
}

void put(Block& block, Field field, std::string_view text) {
  std::copy(text.begin(), text.end(), block.begin() + static_cast<std::ptrdiff_t>(field.begin));
}

void put_octal(Block& block, Field field, std::uint64_t value) {
  char text[24];
  const int size = std::snprintf(text, sizeof text, "%0*llo", static_cast<int>(field.size - 1),
                                 static_cast<unsigned long long>(value));
  put(block, field, {text, static_cast<std::size_t>(size)});
}

constexpr Block kZeros{};

/// The name that a header holds by itself (a long name precedes it, and is cut off in it).
std::string short_name(const Block& header) {
  const bool ustar = text_of(header, kMagic) == "ustar" && header[kMagic.begin + 6] == '0';
  const auto prefix = ustar ? text_of(header, kPrefix) : std::string_view();
  return concat(prefix, prefix.empty() ? "" : "/", text_of(header, kName));
}

/// Bytes after the end of an archive (others appended by `cat`, or a damaged file) would be skipped silently.
void require_zeros(const std::string& archive, std::uint64_t begin, std::uint64_t end, const TarRead& read) {
  std::vector<char> piece(std::size_t{1} << 16);
  for (auto at = begin; at < end;) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), end - at));
    read(at, piece.data(), size);
    const auto stop = piece.begin() + static_cast<std::ptrdiff_t>(size);
    if (const auto more = std::find_if(piece.begin(), stop, [](char c) { return c != 0; }); more != stop)
      throw Error(archive, ": more comes after its end, from byte ",
                  at + static_cast<std::uint64_t>(more - piece.begin()),
                  " on; were archives put together by cat? Use them one by one, or join them by tar --concatenate");
    at += size;
  }
}

/// What for_each_tar_member does from `start` on, where the headers of a member begin, until a visit returns false.
void walk_tar(const std::string& archive, std::uint64_t archive_size, const TarRead& read, std::uint64_t start,
              const std::function<bool(const TarMember&)>& visit,
              const std::function<bool(const TarLink&)>& visit_link) {
  const auto fail = [&](std::uint64_t at, const char* what) {
    throw Error(archive, ": ", what, " at byte ", at, "; is it a whole tar archive?");
  };
  std::optional<std::string> long_name, long_link;
  Pax pax;
  std::uint64_t at = start, first = start;  // of this header, and of the first one of the current member
  while (true) {
    // Zero blocks end an archive, so that one that was cut off between two files is detected too.
    if (archive_size - at < kTarBlock) fail(at, "it ends");
    Block block;
    read(at, block.data(), block.size());
    if (block == kZeros) {
      if (archive_size - at < 2 * kTarBlock) fail(at, "it ends with a single zero block instead of two");
      require_zeros(archive, at, archive_size, read);
      return;
    }
    if (number_of(block, kChecksum) != checksum_of(block)) fail(at, "a header's checksum is wrong");
    const auto listed = number_of(block, kSize);
    if (!listed) fail(at, "a header's size is no number");
    const char type = block[kType];
    const bool regular = type == '0' || type == '\0' || type == '7';
    const std::uint64_t size = regular ? pax.size.value_or(*listed) : *listed;
    const std::uint64_t begin = at + kTarBlock;
    // Links and folders have no contents, whatever their size says.
    const std::uint64_t contents = type >= '1' && type <= '6' ? 0 : size;
    if (contents > archive_size - begin) fail(at, "a file is longer than what is left");
    const std::uint64_t padded = (contents + kTarBlock - 1) / kTarBlock * kTarBlock;

    const std::uint64_t next = padded > archive_size - begin ? archive_size : begin + padded;
    if (type == 'L' || type == 'K' || type == 'x') {
      if (size > kLongestName) fail(at, "a name is too long");
      std::string text(size, '\0');
      read(begin, text.data(), text.size());
      if (type != 'x') {
        (type == 'L' ? long_name : long_link) = text.substr(0, text.find('\0'));
      } else if (auto parsed = parse_pax(text)) {
        pax = std::move(*parsed);
      } else {
        fail(at, "a pax header is malformed");
      }
    } else {
      if (type == 'S') fail(at, "a sparse file, which is not supported,");
      const auto name = [&] { return pax.path ? *pax.path : long_name ? *long_name : short_name(block); };
      if (regular && !visit({name(), begin, size, first})) return;
      if (type == '1' || type == '2') {
        const auto target = pax.link ? *pax.link : long_link ? *long_link : std::string(text_of(block, kLink));
        if (!visit_link({name(), target, type == '1', first})) return;
      }
      if (type != 'g') {
        long_name.reset();
        long_link.reset();
        first = next;
        pax = {};
      }
    }
    at = next;
  }
}

}  // namespace

void for_each_tar_member(const std::string& archive, std::uint64_t archive_size, const TarRead& read,
                         const std::function<void(const TarMember&)>& visit,
                         const std::function<void(const TarLink&)>& visit_link) {
  const auto go_on_after = [](const auto& visitor) {
    return [&](const auto& what) {
      if (visitor) visitor(what);
      return true;
    };
  };
  walk_tar(archive, archive_size, read, 0, go_on_after(visit), go_on_after(visit_link));
}

std::string tar_name_at(const std::string& archive, std::uint64_t archive_size, const TarRead& read,
                        std::uint64_t header) {
  std::string name;
  const auto take = [&](const auto& what) {
    name = what.name;
    return false;
  };
  if (header < archive_size) walk_tar(archive, archive_size, read, header, take, take);
  return name;
}

std::string tar_header(std::string_view name, std::uint64_t size) {
  if (name.size() > kName.size) throw Error("the name ", name, " is too long for a tar archive");
  Block block{};
  put(block, kName, name);
  put_octal(block, kMode, 0644);
  put_octal(block, kUser, 0);
  put_octal(block, kGroup, 0);
  if (size >> 33 == 0) {
    put_octal(block, kSize, size);
  } else {
    block[kSize.begin] = static_cast<char>(0x80);
    for (std::size_t i = 0; i < 8; ++i) block[kSize.begin + kSize.size - 1 - i] = static_cast<char>(size >> (8 * i));
  }
  put_octal(block, kTime, 0);
  block[kType] = '0';
  put(block, kMagic, {"ustar\00000", 8});
  char sum[8];
  std::snprintf(sum, sizeof sum, "%06o", static_cast<unsigned>(checksum_of(block)));
  sum[7] = ' ';  // as POSIX has it: six digits, zero, space
  put(block, kChecksum, {sum, 8});
  return {block.begin(), block.end()};
}

std::string_view tar_padding(std::uint64_t size) {
  return {kZeros.data(), static_cast<std::size_t>((kTarBlock - size % kTarBlock) % kTarBlock)};
}

std::string_view tar_end() {
  static constexpr std::array<char, 2 * kTarBlock> kEnd{};
  return {kEnd.data(), kEnd.size()};
}

}  // namespace unlabel::data
