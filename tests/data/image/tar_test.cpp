#include <unlabel/augment/error.h>
#include <unlabel/data/image/tar.h>

#include "data/temp_folder.h"
#include "refusal.h"
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace unlabel::data::tar_test {
namespace {

using Members = std::vector<std::pair<std::string, std::string>>;

/// Names and contents, read from memory; every read is checked to be inside.
Members members_of(const std::string& bytes) {
  const TarRead read = [&](std::uint64_t offset, char* out, std::size_t size) {
    ASSERT_LE(offset, bytes.size());
    ASSERT_LE(size, bytes.size() - offset);
    std::memcpy(out, bytes.data() + offset, size);
  };
  Members members;
  for_each_tar_member("a.tar", bytes.size(), read, [&](const TarMember& member) {
    ASSERT_LE(member.offset + member.size, bytes.size());
    members.emplace_back(member.name, bytes.substr(member.offset, member.size));
  });
  return members;
}

std::string archive_of(const Members& members) {
  std::string bytes;
  for (const auto& [name, contents] : members)
    bytes.append(tar_header(name, contents.size())).append(contents).append(tar_padding(contents.size()));
  return bytes.append(tar_end());
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Tar, ReadsWhatGnuTarWrites) {
  const TempFolder folder;
  const std::string deep = "a/" + std::string(90, 'b') + "/" + std::string(120, 'c') + ".jpg";
  folder.write("in/x.jpg", std::string_view("first"));
  folder.write("in/" + deep, std::string(1500, 'z'));
  folder.write("in/empty", std::string_view());
  for (const std::string format : {"gnu", "pax", "ustar"}) {
    const bool ustar = format == "ustar";  // which cannot hold the long name
    const std::string command = "cd " + (folder / "in") + " && ln -sf x.jpg link && tar --format=" + format +
                                " -cf ../" + format + ".tar " + (ustar ? "" : "a ") + "empty link x.jpg";
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
    const auto members = members_of(read(folder / (format + ".tar")));
    const Members expected{{"empty", ""}, {"x.jpg", "first"}};
    ASSERT_EQ(members.size(), ustar ? 2u : 3u) << format;
    EXPECT_EQ(Members(members.end() - 2, members.end()), expected) << format;
    if (!ustar) {
      EXPECT_EQ(members[0].first, deep) << format;
      EXPECT_EQ(members[0].second, std::string(1500, 'z')) << format;
    }
  }
}

TEST(Tar, GnuTarReadsWhatIsWritten) {
  const TempFolder folder;
  const Members members{{"a.jpg", std::string(512, 'a')}, {"b/c.cls", "7"}, {"d", ""}};
  folder.write("ours.tar", std::string_view(archive_of(members)));
  EXPECT_EQ(members_of(archive_of(members)), members);
  ASSERT_EQ(std::system(("cd " + folder.path() + " && tar -xf ours.tar 2>warnings").c_str()), 0);
  EXPECT_EQ(read(folder / "warnings"), "");
  for (const auto& [name, contents] : members) EXPECT_EQ(read(folder / name), contents);
  EXPECT_EQ(archive_of(members).size() % kTarBlock, 0u);
  EXPECT_THROW(tar_header(std::string(101, 'x'), 1), Error);
  // Sizes from 8 GiB on are written in base 256, as GNU tar does.
  const auto huge = tar_header("huge", std::uint64_t{1} << 40);
  const TarRead from_header = [&](std::uint64_t offset, char* out, std::size_t size) {
    if (offset == 0)
      std::memcpy(out, huge.data(), size);
    else
      std::memset(out, 0, size);
  };
  std::uint64_t size = 0;
  for_each_tar_member("huge.tar", (std::uint64_t{1} << 40) + 3 * kTarBlock, from_header,
                      [&](const TarMember& member) { size = member.size; });
  EXPECT_EQ(size, std::uint64_t{1} << 40);
}

TEST(Tar, RefusesWhatIsDamaged) {
  const std::string good = archive_of({{"a.jpg", std::string(700, 'a')}, {"b.jpg", "b"}});
  const auto refusal = [](const std::string& bytes) { return unlabel::refusal<Error>([&] { members_of(bytes); }); };
  EXPECT_EQ(refusal(good), "(accepted)");
  EXPECT_NE(refusal("").find("a.tar: it ends at byte 0"), std::string::npos) << refusal("");
  EXPECT_NE(refusal(std::string(2000, 'x')).find("checksum"), std::string::npos);
  EXPECT_NE(refusal(good.substr(0, 800)).find("longer than what is left"), std::string::npos);
  for (std::size_t size = 0; size < good.size() - kTarBlock; size += 97)
    EXPECT_NE(refusal(good.substr(0, size)), "(accepted)") << size;
  EXPECT_NE(refusal(good.substr(0, good.size() - 2 * kTarBlock)), "(accepted)")
      << "between two files, without the zero blocks";
  // Every byte of a header counts, by the checksum.
  for (std::size_t i = 0; i < kTarBlock; ++i) {
    auto bytes = good;
    bytes[i] = static_cast<char>(bytes[i] ^ 1);
    if (i >= 148 && i < 156) continue;  // the checksum itself, whose last bytes mean nothing
    EXPECT_NE(refusal(bytes), "(accepted)") << "byte " << i;
  }
}

TEST(Tar, RefusesWhatComesAfterItsEnd) {
  const std::string one = archive_of({{"a.jpg", "a"}}), two = archive_of({{"b.jpg", "b"}});
  const auto refusal = [](const std::string& bytes) { return unlabel::refusal<Error>([&] { members_of(bytes); }); };
  EXPECT_EQ(refusal(one + std::string(10240, '\0')), "(accepted)") << "padded with zeros";
  EXPECT_EQ(refusal(one + std::string(100, '\0')), "(accepted)");
  EXPECT_NE(refusal(one + two).find(concat("more comes after its end, from byte ", one.size())), std::string::npos)
      << refusal(one + two);
  EXPECT_NE(refusal(one + std::string(200'000, '\0') + "x"), "(accepted)");
  EXPECT_NE(refusal(one.substr(0, one.size() - kTarBlock) + two).find("more comes after its end"), std::string::npos)
      << "one zero block between";
  EXPECT_NE(refusal(one.substr(0, one.size() - kTarBlock)).find("a single zero block"), std::string::npos);
  EXPECT_NE(refusal(one.substr(0, one.size() - 1)), "(accepted)");
}

TEST(Tar, LiesAboutSizesAndNamesAreFound) {
  // Headers with right checksums, but hostile contents.
  const auto with_size = [](std::string_view size_field, char type) {
    std::string header = tar_header("a.jpg", 1);
    std::copy(size_field.begin(), size_field.end(), header.begin() + 124);
    header[156] = type;
    std::fill(header.begin() + 148, header.begin() + 156, ' ');
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<unsigned char>(c);
    char text[8];
    std::snprintf(text, sizeof text, "%06o", sum);
    std::copy(text, text + 7, header.begin() + 148);
    return header + std::string(3 * kTarBlock, '\0');
  };
  EXPECT_THROW(members_of(with_size("77777777777", '0')), Error);
  EXPECT_THROW(members_of(with_size("\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", '0')), Error);
  EXPECT_THROW(members_of(with_size(std::string("\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 12), '0')), Error);
  EXPECT_THROW(members_of(with_size("-0000000001", '0')), Error);
  EXPECT_THROW(members_of(with_size("0000000000x", '0')), Error);
  EXPECT_THROW(members_of(with_size("77777777777", 'L')), Error);
  EXPECT_THROW(members_of(with_size("00000001000", 'x')), Error) << "a pax header of zeros";
  EXPECT_THROW(members_of(with_size("00000000010", 'S')), Error);
  EXPECT_TRUE(members_of(with_size("77777777777", '5')).empty()) << "a folder has no contents";
}

TEST(Tar, TellsOfLinksAndFindsWholeNamesAgain) {
  const TempFolder folder;
  const std::string deep = std::string(90, 'b') + "/" + std::string(120, 'c');
  folder.write("in/" + deep + ".jpg", "first");
  const std::string command = "cd " + (folder / "in") + " && ln " + deep + ".jpg " + deep + "2.jpg && ln -s " + deep +
                              ".jpg soft.jpg && tar --sort=name";
  for (const std::string format : {"gnu", "pax"}) {
    const auto made = (format == "gnu" ? command : "cd " + (folder / "in") + " && tar --sort=name") +
                      " --format=" + format + " -cf ../" + format + ".tar *";
    ASSERT_EQ(std::system(made.c_str()), 0) << made;
    const auto bytes = read(folder / (format + ".tar"));
    const TarRead from = [&](std::uint64_t offset, char* out, std::size_t size) {
      std::memcpy(out, bytes.data() + offset, size);
    };
    std::vector<std::string> found, names;
    for_each_tar_member(
        "a.tar", bytes.size(), from,
        [&](const TarMember& member) {
          found.push_back(member.name);
          names.push_back(tar_name_at("a.tar", bytes.size(), from, member.header));
        },
        [&](const TarLink& link) {
          EXPECT_EQ(link.target, deep + ".jpg");
          EXPECT_EQ(link.hard, link.name != "soft.jpg");
          found.push_back(link.name);
          names.push_back(tar_name_at("a.tar", bytes.size(), from, link.header));
        });
    EXPECT_EQ(found, (std::vector<std::string>{deep + ".jpg", deep + "2.jpg", "soft.jpg"})) << format;
    EXPECT_EQ(names, found) << format;
    EXPECT_EQ(tar_name_at("a.tar", bytes.size(), from, bytes.size()), "");
    EXPECT_THROW(tar_name_at("a.tar", bytes.size(), from, 1), Error);
  }
}

}  // namespace
}  // namespace unlabel::data::tar_test
