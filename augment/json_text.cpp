#include <unlabel/augment/json_text.h>
#include <unlabel/augment/system_error.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace unlabel {

namespace {

/// Builds a value event by event, so that what is refused has cost no more memory than its text so far.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(std::string_view text, const std::string& where, const JsonLimits& limits)
      : text_(text), where_(where), limits_(limits) {}

  nlohmann::json take() { return std::move(root_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(std::int64_t value) override { return put(value); }
  bool number_unsigned(std::uint64_t value) override { return put(value); }
  bool number_float(double value, const std::string&) override { return put(value); }
  bool string(std::string& value) override { return put(std::move(value)); }
  bool binary(nlohmann::json::binary_t&) override { return false; }  // no event of texts
  bool start_object(std::size_t) override { return open(nlohmann::json::object()); }
  bool start_array(std::size_t) override { return open(nlohmann::json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    auto& object = *open_.back();
    if (object.contains(name)) throw JsonError(where_, ": '", shortened(name), "' is given twice in one object");
    member_ = &object[name];
    return true;
  }

  bool parse_error(std::size_t position, const std::string& token, const nlohmann::json::exception& error) override {
    const auto before = text_.substr(0, std::min(position, text_.size()));
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const auto newline = before.rfind('\n');
    const auto column = newline == std::string_view::npos ? before.size() : before.size() - newline - 1;
    const auto place = concat(where_, ": line ", line, ", column ", std::max<std::size_t>(column, 1));
    if (dynamic_cast<const nlohmann::json::out_of_range*>(&error))
      throw JsonError(place, ": the number ", shortened(token), " is beyond what can be held");
    throw JsonError(place, " is not valid JSON");
  }

 private:
  nlohmann::json* place(nlohmann::json value) {
    nlohmann::json* here = &root_;
    if (!open_.empty() && open_.back()->is_array()) {
      open_.back()->push_back(nullptr);
      here = &open_.back()->back();
    } else if (!open_.empty()) {
      here = member_;
    }
    *here = std::move(value);
    return here;
  }
  bool put(nlohmann::json value) {
    place(std::move(value));
    return true;
  }
  bool open(nlohmann::json value) {
    if (static_cast<int>(open_.size()) == limits_.depth) throw JsonError(where_, ": the JSON nests too deeply");
    open_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  const std::string& where_;
  const JsonLimits& limits_;
  nlohmann::json root_;
  std::vector<nlohmann::json*>
      open_;  ///< arrays and objects that have not ended; nothing is added to one while another is open in it
  nlohmann::json* member_ = nullptr;  ///< of the innermost object: where the value of the last key goes
};

[[noreturn]] void refuse_unreadable(const std::string& path, int error) {
  if (error == EISDIR) throw UsageError("cannot read ", path, ": it is a folder");
  if (fault_kind(error) != FaultKind::kFile) throw_system_error(concat("cannot read ", path), error);
  throw UsageError("cannot read ", path, ": ", reason_of(error), "; check the path and its permissions");
}

/// The contents of a file or a pipe; no more than `most` bytes are read.
std::string read_text(const std::string& path, std::size_t most) {
  struct Descriptor {
    int fd;
    ~Descriptor() {
      if (fd >= 0) ::close(fd);
    }
  };
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)};
  struct stat status {};
  if (file.fd < 0 || ::fstat(file.fd, &status) != 0) refuse_unreadable(path, errno);
  if (S_ISDIR(status.st_mode)) refuse_unreadable(path, EISDIR);
  if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode))
    throw UsageError("cannot read ", path, ": it is neither a file nor a pipe");
  std::string text;
  char part[1 << 14];
  while (true) {
    const auto count = ::read(file.fd, part, sizeof part);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) refuse_unreadable(path, errno);
    if (count == 0) return text;
    text.append(part, static_cast<std::size_t>(count));
    if (text.size() > most) throw UsageError(path, " has more than ", most >> 20, " MB: that is no file of settings");
  }
}

}  // namespace

std::string shortened(const std::string& text) {
  constexpr std::size_t kMost = 60;
  if (text.size() <= kMost) return text;
  std::size_t end = kMost - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // no half characters of UTF-8
  return text.substr(0, end) + "...";
}

nlohmann::json parse_json(std::string_view text, const std::string& where, const JsonLimits& limits) {
  if (text.size() > limits.bytes)
    throw JsonError(where, ": ", text.size(), " bytes of JSON are more than the ", limits.bytes, " allowed");
  Builder builder(text, where, limits);
  nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

std::optional<nlohmann::json> try_parse_json(std::string_view text) {
  try {
    return parse_json(text, "");
  } catch (const JsonError&) {
    return std::nullopt;
  }
}

nlohmann::json read_json_file(const std::string& path) {
  const JsonLimits limits;
  const auto text = read_text(path, limits.bytes);
  try {
    return parse_json(text, path, limits);
  } catch (const JsonError& error) {
    throw UsageError(error.what());
  }
}

void check_json_depth(const nlohmann::json& json, int most, const std::string& where) {
  if (!json.is_structured()) return;
  if (most == 0) throw UsageError(where, ": the JSON nests too deeply");
  for (const auto& item : json) check_json_depth(item, most - 1, where);
}

}  // namespace unlabel
