// Any bytes are a safetensors file whose tensors lie inside it, and whose header can be written and read again, or an Error.
#include <unlabel/augment/error.h>
#include <unlabel/ssl/weights/safetensors_header.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace unlabel::ssl;
  try {
    const auto header = parse_safetensors({reinterpret_cast<const char*>(data), size}, "fuzz");
    std::uint64_t end = 0;
    for (const auto& entry : header.entries) {
      std::uint64_t count = size_of(entry.type);
      for (const auto side : entry.shape) count *= static_cast<std::uint64_t>(side);
      if (entry.begin != end || entry.end < entry.begin || entry.end - entry.begin != count) std::abort();
      end = entry.end;
    }
    if (end > size) std::abort();
    const auto again = parse_safetensors(format_safetensors_header(header) + std::string(end, '\0'), "again");
    if (again.entries.size() != header.entries.size() || again.metadata != header.metadata) std::abort();
  } catch (const unlabel::Error&) {
  }
  return 0;
}
