#include <unlabel/augment/error.h>
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/data/io/files.h>
#include <unlabel/data/io/retry.h>
#include <unlabel/ssl/weights/safetensors.h>
#include <unlabel/ssl/weights/safetensors_header.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>

#include <algorithm>
#include <bit>
#include <tuple>

namespace unlabel::ssl {
namespace {

static_assert(std::endian::native == std::endian::little, "the data section is a copy of memory, and is little-endian");

constexpr std::pair<SafetensorsType, at::ScalarType> kScalarTypes[] = {
    {SafetensorsType::kF64, at::kDouble}, {SafetensorsType::kI64, at::kLong}, {SafetensorsType::kF32, at::kFloat},
    {SafetensorsType::kI32, at::kInt},    {SafetensorsType::kF16, at::kHalf}, {SafetensorsType::kBF16, at::kBFloat16},
    {SafetensorsType::kI16, at::kShort},  {SafetensorsType::kI8, at::kChar},  {SafetensorsType::kU8, at::kByte},
    {SafetensorsType::kBool, at::kBool},
};

at::ScalarType scalar_type(SafetensorsType type) {
  for (const auto& [ours, torchs] : kScalarTypes) {
    if (ours == type) return torchs;
  }
  UNLABEL_INVARIANT(false);
  return at::kFloat;
}

// A bool with another value than 0 or 1 is undefined behavior in C++.
void check_booleans(const at::Tensor& tensor, const std::string& name, const std::string& path) {
  const auto* bytes = static_cast<const unsigned char*>(tensor.const_data_ptr());
  if (std::any_of(bytes, bytes + tensor.numel(), [](unsigned char b) { return b > 1; })) {
    throw Error(path, ": tensor '", name, "' is BOOL and has a byte that is neither 0 nor 1");
  }
}

TensorFile read(const std::string& path, bool with_data) {
  const auto file = data::open_file(AT_FDCWD, path.c_str(), path);
  std::uint64_t place = 0;
  const auto take = [&](void* to, std::uint64_t bytes) {
    data::read_at(file.fd, place, to, bytes, path);
    place += bytes;
  };
  // Length of the header, the header, then the tensors one after another, in the order of the data section.
  char prefix[kSafetensorsPrefix];
  const auto size = file.size, first = std::min(size, kSafetensorsPrefix);
  take(prefix, first);
  const auto length = safetensors_header_length({prefix, first}, size, path);
  std::string json(length, '\0');
  take(json.data(), length);
  auto header = parse_safetensors_header(json, size - kSafetensorsPrefix - length, path);

  // Without data, tensors are on device `meta`, which allocates no memory.
  TensorFile result;
  result.metadata = std::move(header.metadata);
  for (const auto& entry : header.entries) {
    const auto options = at::TensorOptions().dtype(scalar_type(entry.type)).device(with_data ? at::kCPU : at::kMeta);
    auto tensor = at::empty(entry.shape, options);
    if (with_data) {
      take(tensor.data_ptr(), entry.end - entry.begin);
      if (entry.type == SafetensorsType::kBool) check_booleans(tensor, entry.name, path);
    }
    result.tensors.emplace_back(entry.name, std::move(tensor));
  }
  return result;
}

}  // namespace

TensorFile read_safetensors(const std::string& path) {
  return data::retry([&] { return read(path, true); });
}
TensorFile read_safetensors_header(const std::string& path) {
  return data::retry([&] { return read(path, false); });
}

namespace {

struct Item {
  SafetensorsEntry entry;
  at::Tensor tensor;
};

/// The tensors in the order of the file, with their offsets. `place`: the name of the file in messages.
std::vector<Item> lay_out(const TensorFile& file, const std::string& place) {
  std::vector<Item> items;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : file.tensors) {
    const auto type =
        std::find_if(std::begin(kScalarTypes), std::end(kScalarTypes),
                     [&, &t = tensor](const auto& pair) { return t.defined() && pair.second == t.scalar_type(); });
    if (type == std::end(kScalarTypes) || tensor.layout() != at::kStrided) {
      throw Error("cannot write tensor '", name, "' to ", place, ": safetensors has no such type");
    }
    if (name == "__metadata__") throw Error("cannot write to ", place, ": no tensor may be called __metadata__");
    items.push_back({{name, type->first, tensor.sizes().vec(), 0, 0}, tensor});
    names.push_back(name);
  }
  // Names must be unique: a reader would refuse the file.
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end()) {
    throw Error("cannot write ", place, ": two tensors are called '", *twice, "'");
  }
  // By type, in the order of the enum (decreasing element size), then by name; offsets follow from the order.
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return std::tie(a.entry.type, a.entry.name) < std::tie(b.entry.type, b.entry.name);
  });
  std::uint64_t end = 0;
  for (auto& [entry, tensor] : items) {
    entry.begin = end;
    entry.end = end += static_cast<std::uint64_t>(tensor.numel()) * size_of(entry.type);
  }
  return items;
}

std::string header_text(const std::vector<Item>& items, const TensorFile& file) {
  SafetensorsHeader header;
  header.metadata = file.metadata;
  for (const auto& item : items) header.entries.push_back(item.entry);
  return format_safetensors_header(header);
}

}  // namespace

void format_safetensors(const TensorFile& file, std::vector<char>& out) {
  // The header, then room for the data section, into which tensors are copied.
  const auto items = lay_out(file, "memory");
  const auto header = header_text(items, file);
  out.resize(header.size() + (items.empty() ? 0 : items.back().entry.end));
  std::copy(header.begin(), header.end(), out.begin());
  for (const auto& [entry, tensor] : items) {
    // One copy, from the tensor's device and strides into the buffer.
    auto place = at::from_blob(out.data() + header.size() + entry.begin, tensor.sizes(),
                               at::TensorOptions().dtype(tensor.scalar_type()));
    place.copy_(tensor.detach());
  }
}

void write_safetensors(const std::string& path, const TensorFile& file) {
  data::AtomicFile out(path);
  write_safetensors(out, file, path);
  out.commit();
}

void write_safetensors(data::AtomicFile& out, const TensorFile& file, const std::string& path) {
  const auto items = lay_out(file, path);
  out.write(header_text(items, file));
  for (const auto& [entry, tensor] : items) {
    const auto data = tensor.detach().cpu().contiguous();
    out.write(data.const_data_ptr(), entry.end - entry.begin);
  }
}

}  // namespace unlabel::ssl
