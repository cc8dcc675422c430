#include <unlabel/augment/error.h>
#include <unlabel/augment/json_text.h>

#include "refusal.h"
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

namespace unlabel {
namespace {

std::string refused(const std::string& text) {
  return refusal<JsonError>([&] { parse_json(text, "f.json", {.bytes = 1000, .depth = 4}); });
}

TEST(JsonText, IsTheValueThatTheLibraryParses) {
  for (const char* text :
       {"null", "true", "-3", "18446744073709551615", "0.1", "\"a\\u00e9\\n\"", "[]", "{}", "[1,[2,[]],{\"a\":[{}]}]",
        R"({"a": {"b": [1, "x", null, {"c": false}]}, "d": -1e-300, "": 0})"})
    EXPECT_EQ(parse_json(text, "f"), nlohmann::json::parse(text)) << text;
}

TEST(JsonText, NamesFileAndPlaceOfWhatIsWrong) {
  EXPECT_EQ(refused("{\n\"a\": 1,\n}"), "f.json: line 3, column 1 is not valid JSON");
  EXPECT_EQ(refused(""), "f.json: line 1, column 1 is not valid JSON");
  EXPECT_EQ(refused("{} x"), "f.json: line 1, column 4 is not valid JSON");
  EXPECT_EQ(refused("\"\xff\""), "f.json: line 1, column 2 is not valid JSON");
  EXPECT_EQ(refused("{\"a\":\n 1e999}"), "f.json: line 2, column 6: the number 1e999 is beyond what can be held");
  EXPECT_EQ(refused(R"({"a": 1, "b": {"a": 2, "c": 3, "c": 4}})"), "f.json: 'c' is given twice in one object");
  EXPECT_EQ(refused(R"({"a": [1], "a": [1]})"), "f.json: 'a' is given twice in one object");
  EXPECT_EQ(refused("[[[[]]]]"), "(accepted)");
  EXPECT_EQ(refused("[[[[[]]]]]"), "f.json: the JSON nests too deeply");
  EXPECT_EQ(refused(R"([{"a":[{"b":{}}]}])"), "f.json: the JSON nests too deeply");
  EXPECT_EQ(refused("[" + std::string(2000, ' ') + "]"), "f.json: 2002 bytes of JSON are more than the 1000 allowed");
  EXPECT_EQ(try_parse_json(std::string(1 << 20, '[')), std::nullopt);
  EXPECT_EQ(try_parse_json("[1"), std::nullopt);
}

TEST(JsonText, MembersAreOfTheirTypesOrDamaged) {
  const auto json = parse_json(
      R"({"n": 3, "list": [1, 2], "text": "x", "big": 1e30, "long": ")" + std::string(500, 'y') + "\"}", "f.json");
  EXPECT_EQ(json_member<int>(json, "n", "f.json"), 3);
  EXPECT_EQ(json_member<std::vector<std::int64_t>>(json, "list", "f.json"), (std::vector<std::int64_t>{1, 2}));
  const auto damage = [&](auto type, const char* key, const nlohmann::json& from) {
    return refusal<JsonError>([&] { json_member<decltype(type)>(from, key, "f.json"); });
  };
  EXPECT_EQ(damage(0, "text", json), "f.json is damaged: 'text' is no integer but \"x\"");
  EXPECT_EQ(damage(0, "big", json), "f.json is damaged: 'big' is no integer but 1e+30");
  EXPECT_EQ(damage(0u, "gone", json), "f.json is damaged: it has no 'gone'");
  EXPECT_EQ(damage(0u, "gone", nlohmann::json(3)), "f.json is damaged: it has no 'gone'");
  EXPECT_LT(damage(0u, "long", json).size(), 150u);
}

TEST(JsonFile, IsReadOrRefusedAsWrongUse) {
  const auto path = std::filesystem::temp_directory_path() / ("unlabel_json_" + std::to_string(getpid()));
  const auto write = [&](const std::string& text) { std::ofstream(path) << text; };
  const auto read = [&] { return refusal([&] { read_json_file(path.string()); }); };
  write("{\"a\": \"" + std::string(10000, 'x') + "\"}");
  EXPECT_EQ(read_json_file(path.string())["a"].get<std::string>().size(), 10000u);
  write("{\n\"a\": 1,\n}");
  EXPECT_EQ(read(), path.string() + ": line 3, column 1 is not valid JSON");
  write("{\"a\": 1, \"a\": 2}");
  EXPECT_EQ(read(), path.string() + ": 'a' is given twice in one object");
  write("[" + std::string(17 << 20, ' ') + "]");
  EXPECT_NE(read().find("has more than 16 MB"), std::string::npos) << read();
  std::filesystem::remove(path);
  EXPECT_NE(read().find("No such file"), std::string::npos) << read();
  std::filesystem::create_directory(path);
  EXPECT_NE(read().find("it is a folder"), std::string::npos) << read();
  std::filesystem::remove(path);
}

TEST(JsonFile, ComesThroughAPipeAndFromNoDevice) {
  const auto path = std::filesystem::temp_directory_path() / ("unlabel_pipe_" + std::to_string(getpid()));
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(path) << "{\"epochs\": 3}"; });
  EXPECT_EQ(read_json_file(path.string()), (nlohmann::json{{"epochs", 3}}));
  writer.join();
  // One that never ends is refused after 16 MB; its writer sees the pipe closed.
  ::signal(SIGPIPE, SIG_IGN);
  std::thread endless([&] {
    const int pipe = ::open(path.c_str(), O_WRONLY);
    const std::string spaces(1 << 16, ' ');
    while (::write(pipe, spaces.data(), spaces.size()) > 0) {
    }
    ::close(pipe);
  });
  EXPECT_NE(refusal([&] { read_json_file(path.string()); }).find("has more than 16 MB"), std::string::npos);
  endless.join();
  std::filesystem::remove(path);
  EXPECT_EQ(refusal([&] { read_json_file("/dev/zero"); }), "cannot read /dev/zero: it is neither a file nor a pipe");
}

}  // namespace
}  // namespace unlabel
