#include <unlabel/data/file_list.h>
#include <unlabel/data/io/atomic_file.h>

#include <zlib.h>

#include <charconv>
#include <unordered_map>

namespace unlabel::data {

namespace {

constexpr std::size_t kLongestEntry = 1 << 16;

std::unordered_map<std::string, std::uint64_t> read_file_list(const std::string& path) {
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose_r);
  if (!file) throw Error("cannot read ", path);
  std::unordered_map<std::string, std::uint64_t> sizes;
  std::string text;
  char piece[1 << 16];
  int count;
  while ((count = gzread(file.get(), piece, sizeof piece)) > 0) {
    text.append(piece, static_cast<std::size_t>(count));
    std::size_t begin = 0;
    for (std::size_t end; (end = text.find('\0', begin)) != std::string::npos; begin = end + 1) {
      std::uint64_t size = 0;
      const auto [rest, error] = std::from_chars(text.data() + begin, text.data() + end, size);
      if (error != std::errc() || *rest != ' ') throw Error(path, " is damaged");
      const auto name = static_cast<std::size_t>(rest + 1 - text.data());
      sizes.emplace(text.substr(name, end - name), size);
    }
    text.erase(0, begin);
    if (text.size() > kLongestEntry) throw Error(path, " is damaged");
  }
  // Closing reports a truncated file.
  if (count < 0 || !text.empty() || gzclose_r(file.release()) != Z_OK) throw Error(path, " is damaged");
  return sizes;
}

/// Counts files of one kind of change, and keeps the first as an example.
struct Change {
  std::int64_t count = 0;
  std::string first;

  void add(std::string example) {
    if (count++ == 0) first = std::move(example);
  }
  void tell(std::string& text, const char* one, const char* several) const {
    if (count == 0) return;
    text += concat(text.empty() ? "" : ", ", count, text.empty() ? (count == 1 ? " file " : " files ") : " ",
                   count == 1 ? one : several, " (", first, count == 1 ? ")" : " ...)");
  }
};

}  // namespace

void write_file_list(const std::string& path, const Dataset& dataset) {
  AtomicFile file(path);
  z_stream stream{};
  // 16: with gzip's frame
  if (deflateInit2(&stream, /*level=*/1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw Error("out of memory");
  const std::unique_ptr<z_stream, int (*)(z_streamp)> end(&stream, deflateEnd);
  const auto write = [&](std::string_view bytes, int flush) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    do {
      char out[1 << 14];
      stream.next_out = reinterpret_cast<Bytef*>(out);
      stream.avail_out = sizeof out;
      deflate(&stream, flush);
      file.write(out, sizeof out - stream.avail_out);
    } while (stream.avail_out == 0);
  };
  std::string entry;
  dataset.for_each_file([&](std::string_view name, std::uint64_t size) {
    entry = std::to_string(size);
    entry.append(" ").append(name).push_back('\0');
    write(entry, Z_NO_FLUSH);
  });
  write("", Z_FINISH);
  file.commit();
}

std::string changes_since(const std::string& path, const Dataset& dataset) {
  auto before = read_file_list(path);
  Change gone, added, resized;
  dataset.for_each_file([&](std::string_view name, std::uint64_t size) {
    const auto found = before.find(std::string(name));
    if (found == before.end()) return added.add(std::string(name));
    if (found->second != size) resized.add(concat(name, ": ", size, " bytes, it had ", found->second));
    before.erase(found);
  });
  const std::string* first = nullptr;
  for (const auto& [name, size] : before)
    if (!first || name < *first) first = &name;
  if (first) gone = {static_cast<std::int64_t>(before.size()), *first};
  std::string text;
  gone.tell(text, "is gone", "are gone");
  added.tell(text, "is new", "are new");
  resized.tell(text, "has another size", "have other sizes");
  return text.empty() ? "no name and no size, but what the files hold" : text;
}

}  // namespace unlabel::data
