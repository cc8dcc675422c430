// Any bytes are a tar archive whose members lie inside it and are called the same when asked for one by one, or an Error.
#include <unlabel/augment/error.h>
#include <unlabel/data/image/tar.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace unlabel::data;
  const TarRead read = [&](std::uint64_t offset, char* out, std::size_t count) {
    if (offset > size || count > size - offset) std::abort();
    std::memcpy(out, data + offset, count);
  };
  std::uint64_t end = 0;
  try {
    for_each_tar_member(
        "fuzz", size, read,
        [&](const TarMember& member) {
          if (member.offset < end || member.offset > size || member.size > size - member.offset) std::abort();
          end = member.offset + member.size;
          if (tar_name_at("fuzz", size, read, member.header) != member.name) std::abort();
        },
        [&](const TarLink& link) {
          if (tar_name_at("fuzz", size, read, link.header) != link.name) std::abort();
        });
  } catch (const unlabel::Error&) {
  }
  return 0;
}
