#include <unlabel/augment/error.h>
#include <unlabel/ssl/weights/safetensors_header.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <tuple>
#include <unordered_set>
#include <utility>

namespace unlabel::ssl {
namespace {

struct TypeInfo {
  SafetensorsType type;
  const char* name;
  std::uint64_t size;
};

constexpr std::array<TypeInfo, 10> kTypes{{{SafetensorsType::kF64, "F64", 8},
                                           {SafetensorsType::kI64, "I64", 8},
                                           {SafetensorsType::kF32, "F32", 4},
                                           {SafetensorsType::kI32, "I32", 4},
                                           {SafetensorsType::kF16, "F16", 2},
                                           {SafetensorsType::kBF16, "BF16", 2},
                                           {SafetensorsType::kI16, "I16", 2},
                                           {SafetensorsType::kI8, "I8", 1},
                                           {SafetensorsType::kU8, "U8", 1},
                                           {SafetensorsType::kBool, "BOOL", 1}}};

const TypeInfo& info(SafetensorsType type) {
  return *std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeInfo& t) { return t.type == type; });
}

constexpr std::size_t kMaxDimensions = 64;
constexpr const char* kMetadataKey = "__metadata__";

// A name for a message: shortened, and without control characters, because the file is not trusted.
std::string shown(const std::string& name) {
  std::string text;
  for (const char c : name.substr(0, 100)) text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return "'" + text + (name.size() > 100 ? "...'" : "'");
}

// A SAX parser of the header, so that neither nesting nor repetition costs memory. It accepts this structure; the names of the states are
// in brackets:
//   [kStart] { [kTop] "name": { [kTensor] "dtype": "F32", "shape": [ [kShape] ... ], "data_offsets": [ [kOffsets] begin, end ] }, ...,
//              "__metadata__": { [kMetadata] "key": "text", ... } } [kEnd]
class Reader : public nlohmann::json_sax<nlohmann::json> {
 public:
  Reader(const std::string& file, SafetensorsHeader& header) : file_(file), header_(header) {}

  bool finished() const { return place_ == Place::kEnd; }

  // The header itself, its metadata, or a tensor.
  bool start_object(std::size_t) override {
    if (place_ == Place::kStart) return enter(Place::kTop);
    if (place_ == Place::kTop) {
      if (entry_.name == kMetadataKey) return enter(Place::kMetadata);
      has_type_ = has_shape_ = has_offsets_ = false;
      offsets_.clear();
      return enter(Place::kTensor);
    }
    return refuse("an object");
  }

  bool key(std::string& text) override {
    switch (place_) {
      case Place::kTop:
        if (!names_.insert(text).second) throw Error(file_, ": tensor ", shown(text), " is listed twice");
        entry_ = {};
        entry_.name = text;
        return true;
      case Place::kTensor:
      case Place::kMetadata:
        field_ = text;
        return true;
      default:
        return refuse("a key");
    }
  }

  bool end_object() override {
    switch (place_) {
      case Place::kTensor:
        finish_tensor();
        return enter(Place::kTop);
      case Place::kMetadata:
        return enter(Place::kTop);
      case Place::kTop:
        return enter(Place::kEnd);
      default:
        return refuse("the end of an object");
    }
  }

  // A value of the metadata, or the dtype of a tensor.
  bool string(std::string& text) override {
    if (place_ == Place::kMetadata) {
      if (!header_.metadata.emplace(field_, text).second) {
        throw Error(file_, ": metadata ", shown(field_), " is listed twice");
      }
      return true;
    }
    if (place_ != Place::kTensor || field_ != "dtype") return refuse("a text");
    set_once(has_type_);
    const auto type = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeInfo& t) { return text == t.name; });
    if (type == kTypes.end()) {
      fault("is of type " + shown(text) + ", which is not supported; F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL are");
    }
    entry_.type = type->type;
    return true;
  }

  // The shape or the offsets of a tensor; repeated fields are refused.
  bool start_array(std::size_t) override {
    if (place_ != Place::kTensor) return refuse("a list");
    if (field_ == "shape") {
      set_once(has_shape_);
      return enter(Place::kShape);
    }
    if (field_ == "data_offsets") {
      set_once(has_offsets_);
      return enter(Place::kOffsets);
    }
    return refuse("a list");
  }

  bool end_array() override {
    if (place_ == Place::kOffsets && offsets_.size() != 2) fault("has data_offsets that are not two numbers");
    return enter(Place::kTensor);
  }

  // A dimension of the shape, or an offset. Both are limited in number, so that memory is.
  bool number_unsigned(std::uint64_t value) override {
    if (place_ == Place::kShape) {
      if (entry_.shape.size() == kMaxDimensions) fault(concat("has more than ", kMaxDimensions, " dimensions"));
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        fault("has a dimension that is too large");
      entry_.shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (place_ == Place::kOffsets) {
      if (offsets_.size() == 2) fault("has data_offsets that are not two numbers");
      offsets_.push_back(value);
      return true;
    }
    return refuse("a number");
  }

  // Values that a header never contains.
  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("true or false"); }
  bool number_integer(std::int64_t) override { return refuse("a negative number"); }
  bool number_float(double, const std::string&) override { return refuse("a number that is no integer"); }
  bool binary(nlohmann::json::binary_t&) override { return refuse("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    throw Error(file_, ": the header is not valid JSON at byte ", position,
                "; the file is damaged or no safetensors file");
  }

 private:
  enum class Place { kStart, kTop, kTensor, kShape, kOffsets, kMetadata, kEnd };

  bool enter(Place place) {
    place_ = place;
    return true;
  }

  // Throws for an element that the current state does not allow.
  [[noreturn]] bool refuse(const char* what) {
    if (place_ == Place::kStart) throw Error(file_, ": the header begins with ", what, ", not an object");
    if (place_ == Place::kMetadata) throw Error(file_, ": metadata ", shown(field_), " holds ", what, ", not a text");
    fault(place_ == Place::kTop ? concat("holds ", what, ", not an object")
                                : concat("holds ", what, " where none belongs, in ", shown(field_)));
  }

  [[noreturn]] void fault(const std::string& text) { throw Error(file_, ": tensor ", shown(entry_.name), " ", text); }

  void set_once(bool& seen) {
    if (seen) fault("has two of " + shown(field_));
    seen = true;
  }

  // Checks the tensor that was parsed, and appends it.
  void finish_tensor() {
    if (!has_type_) fault("has no dtype");
    if (!has_shape_) fault("has no shape");
    if (!has_offsets_) fault("has no data_offsets");
    // The product skips zeros, as the computation of strides does, so that strides cannot overflow either.
    const auto limit = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    std::uint64_t bytes = size_of(entry_.type);
    bool empty = false;
    for (const auto dimension : entry_.shape) {
      const auto d = static_cast<std::uint64_t>(dimension);
      if (d == 0) {
        empty = true;
      } else if (bytes > limit / d) {
        fault("has a shape whose size overflows");
      } else {
        bytes *= d;
      }
    }
    if (empty) bytes = 0;
    // The data must have exactly the bytes of shape and type.
    entry_.begin = offsets_[0];
    entry_.end = offsets_[1];
    if (entry_.begin > entry_.end) fault(concat("ends at ", entry_.end, ", before it begins at ", entry_.begin));
    if (entry_.end - entry_.begin != bytes) {
      fault(concat("has ", entry_.end - entry_.begin, " bytes; its shape and type need ", bytes));
    }
    header_.entries.push_back(std::move(entry_));
    entry_ = {};
  }

  const std::string& file_;
  SafetensorsHeader& header_;
  Place place_ = Place::kStart;
  SafetensorsEntry entry_;
  std::string field_;
  std::vector<std::uint64_t> offsets_;
  bool has_type_ = false, has_shape_ = false, has_offsets_ = false;
  std::unordered_set<std::string> names_;
};

}  // namespace

std::uint64_t size_of(SafetensorsType type) { return info(type).size; }
const char* name_of(SafetensorsType type) { return info(type).name; }

std::uint64_t safetensors_header_length(std::string_view prefix, std::uint64_t file_size, const std::string& file) {
  if (file_size < kSafetensorsPrefix || prefix.size() < kSafetensorsPrefix) {
    throw Error(file, ": ", file_size, " bytes are too few for a safetensors file");
  }
  // Little-endian.
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<unsigned char>(prefix[i]);
  if (length > kSafetensorsMaxHeader || length > file_size - kSafetensorsPrefix) {
    throw Error(file, ": the header would have ", length, " bytes of a file of ", file_size,
                "; the file is truncated or no safetensors file");
  }
  return length;
}

SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_size, const std::string& file) {
  SafetensorsHeader header;
  Reader reader(file, header);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &reader) || !reader.finished()) {
    throw Error(file, ": the header is incomplete");
  }
  std::sort(header.entries.begin(), header.entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  // In the order of offsets, each tensor must begin where the previous one ends, and the last one end with the file.
  std::uint64_t end = 0;
  for (const auto& entry : header.entries) {
    if (entry.begin != end) {
      throw Error(file, ": tensor ", shown(entry.name), " begins at ", entry.begin, " where the one before ends at ",
                  end, "; tensors must neither overlap nor leave gaps");
    }
    if (entry.end > data_size) {
      throw Error(file, ": tensor ", shown(entry.name), " ends at ", entry.end, " of ", data_size,
                  " bytes; the file is truncated");
    }
    end = entry.end;
  }
  if (end != data_size) throw Error(file, ": ", data_size - end, " bytes at the end belong to no tensor");
  return header;
}

SafetensorsHeader parse_safetensors(std::string_view bytes, const std::string& file) {
  const auto length = safetensors_header_length(bytes.substr(0, kSafetensorsPrefix), bytes.size(), file);
  return parse_safetensors_header(bytes.substr(kSafetensorsPrefix, length), bytes.size() - kSafetensorsPrefix - length,
                                  file);
}

std::string format_safetensors_header(const SafetensorsHeader& header) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  if (!header.metadata.empty()) object[kMetadataKey] = header.metadata;
  for (const auto& entry : header.entries) {
    object[entry.name] = {
        {"dtype", name_of(entry.type)}, {"shape", entry.shape}, {"data_offsets", {entry.begin, entry.end}}};
  }
  std::string text;
  try {
    text = object.dump();
  } catch (const nlohmann::json::exception&) {
    throw Error("names and metadata in a safetensors file must be UTF-8, and one of these is not");
  }
  // Padding aligns the data section, which begins after 8 bytes of length and the header.
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string prefix;
  for (int i = 0; i < 8; ++i) prefix += static_cast<char>(text.size() >> (8 * i) & 0xff);
  return prefix + text;
}

}  // namespace unlabel::ssl
