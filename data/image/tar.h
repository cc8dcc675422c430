#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace unlabel::data {

/// A regular file in a tar archive.
struct TarMember {
  std::string name;
  std::uint64_t offset = 0;  ///< of its first byte in the archive
  std::uint64_t size = 0;
  std::uint64_t header = 0;  ///< where its headers begin, those of a long name included: for tar_name_at
};

/// A link in a tar archive.
struct TarLink {
  std::string name;
  std::string target;
  bool hard = false;         ///< to another member of the archive; else symbolic
  std::uint64_t header = 0;  ///< as a member's
};

/// Bytes of a header, and what contents are rounded up to.
inline constexpr std::uint64_t kTarBlock = 512;

/// Reads `size` bytes at `offset` of an archive into `out`; within the archive.
using TarRead = std::function<void(std::uint64_t offset, char* out, std::size_t size)>;

/// Visits the regular files of a tar archive (ustar, GNU's long names, pax) of `archive_size` bytes in their order, and its links where
/// `visit_link` is given; folders and devices are passed over. Two zero blocks end it, and nothing but zeros comes after them. The archive
/// is not trusted: checksums, counts and sizes are checked against the archive, and names stay names. Throws Error that begins with
/// `archive` when it is damaged, cut off or no tar.
void for_each_tar_member(const std::string& archive, std::uint64_t archive_size, const TarRead& read,
                         const std::function<void(const TarMember&)>& visit,
                         const std::function<void(const TarLink&)>& visit_link = {});

/// The whole name of the member or link whose headers begin at `header`. Throws as for_each_tar_member does.
std::string tar_name_at(const std::string& archive, std::uint64_t archive_size, const TarRead& read,
                        std::uint64_t header);

/// The header of a regular file for a ustar archive, without times or owners: the same file gives the same bytes. Throws Error for a name
/// longer than 100 bytes.
std::string tar_header(std::string_view name, std::uint64_t size);

/// Zero bytes that fill up the last block of a file of `size` bytes.
std::string_view tar_padding(std::uint64_t size);

/// The two zero blocks at the end of an archive.
std::string_view tar_end();

}  // namespace unlabel::data
