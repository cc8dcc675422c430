#include <unlabel/augment/error.h>
#include <unlabel/data/atomic_file.h>
#include <unlabel/data/files.h>
#include <unlabel/data/listing_cache.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>

namespace unlabel::data {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kHeader = "unlabel listing 1";
constexpr std::int64_t kSettled = 2'000'000'000;  // nanoseconds

/// Takes texts that end with a zero byte, one after another.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::string_view text() {
    const auto end = text_.find('\0');
    if (end == std::string_view::npos) throw Error("the listing is cut off");
    const auto found = text_.substr(0, end);
    text_.remove_prefix(end + 1);
    return found;
  }
  template <class Number>
  Number number() {
    const auto digits = text();
    Number value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) throw Error("the listing is malformed");
    return value;
  }
  bool at_end() const { return text_.empty(); }

 private:
  std::string_view text_;
};

std::map<std::string, ListedFolder> parse(std::string_view text, const std::string& root) {
  Reader reader(text);
  if (reader.text() != kHeader || reader.text() != root) throw Error("another listing");
  std::map<std::string, ListedFolder> folders;
  while (!reader.at_end()) {
    std::string path(reader.text());
    ListedFolder folder;
    folder.inode = reader.number<std::uint64_t>();
    folder.changed = reader.number<std::int64_t>();
    for (auto left = reader.number<std::uint64_t>(); left > 0; --left) folder.folders.emplace_back(reader.text());
    for (auto left = reader.number<std::uint64_t>(); left > 0; --left) {
      std::string name(reader.text());
      folder.files.emplace_back(std::move(name), reader.number<std::uint64_t>());
    }
    folders.emplace(std::move(path), std::move(folder));
  }
  return folders;
}

}  // namespace

std::optional<std::string> cache_folder() {
  if (const char* own = std::getenv("UNLABEL_CACHE")) return *own ? std::optional<std::string>(own) : std::nullopt;
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg && *xdg == '/') return std::string(xdg) + "/unlabel";
  if (const char* home = std::getenv("HOME"); home && *home == '/') return std::string(home) + "/.cache/unlabel";
  return std::nullopt;
}

ListingCache::ListingCache(const std::string& root, Listing listing) {
  const auto folder = cache_folder();
  std::error_code error;
  root_ = fs::canonical(root, error).string();
  if (!folder || error) return;
  Fingerprint name;
  name.add(root_);
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(name.value()));
  file_ = *folder + "/listing-" + digits;
  try {
    if (listing == Listing::kKept && fs::is_regular_file(file_, error)) before_ = parse(read_text_file(file_), root_);
  } catch (const std::exception&) {
    before_.clear();
  }
}

const ListedFolder* ListingCache::find(const std::string& path, std::uint64_t inode, std::int64_t changed) const {
  const auto found = before_.find(path);
  if (found == before_.end() || found->second.inode != inode || found->second.changed != changed) return nullptr;
  return &found->second;
}

void ListingCache::add(const std::string& path, ListedFolder folder) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  if (std::chrono::duration_cast<std::chrono::nanoseconds>(now).count() - folder.changed < kSettled) return;
  differs_ = differs_ || !find(path, folder.inode, folder.changed);
  now_.insert_or_assign(path, std::move(folder));
}

void ListingCache::save() const {
  std::size_t files = 0;
  for (const auto& [path, folder] : now_) files += folder.files.size();
  if (file_.empty() || files < kLeastFiles || (!differs_ && now_.size() == before_.size())) return;
  try {
    fs::create_directories(fs::path(file_).parent_path());
    AtomicFile out(file_);
    std::string text;
    const auto put = [&](std::string_view part) { text.append(part).push_back('\0'); };
    put(kHeader);
    put(root_);
    for (const auto& [path, folder] : now_) {
      put(path);
      put(std::to_string(folder.inode));
      put(std::to_string(folder.changed));
      put(std::to_string(folder.folders.size()));
      for (const auto& name : folder.folders) put(name);
      put(std::to_string(folder.files.size()));
      for (const auto& [name, size] : folder.files) {
        put(name);
        put(std::to_string(size));
      }
      out.write(text);
      text.clear();
    }
    out.commit();
  } catch (const std::exception&) {  // a full disk, no permission: then there is no cache
  }
}

}  // namespace unlabel::data
