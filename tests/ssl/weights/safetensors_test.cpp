#include <unlabel/augment/error.h>
#include <unlabel/ssl/weights/safetensors.h>
#include <unlabel/ssl/weights/safetensors_header.h>

#include "refusal.h"
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <torch/types.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace unlabel::ssl {
namespace {

namespace fs = std::filesystem;

// A folder of the test's own, gone at its end.
class Safetensors : public ::testing::Test {
 protected:
  Safetensors() : folder_(fs::temp_directory_path() / concat("unlabel_safetensors_", ::getpid())) {
    fs::create_directories(folder_);
  }
  ~Safetensors() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::size_t files() const { return std::distance(fs::directory_iterator(folder_), fs::directory_iterator()); }

  fs::path folder_;
};
using CiSafetensorsInPython = Safetensors;

std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_bytes(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

// A whole file: the length of `header`, `header`, and `data` zeros.
std::string with_header(const std::string& header, std::size_t data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return bytes + header + std::string(data, '\0');
}

std::vector<at::ScalarType> types() {
  return {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong,
          at::kInt,    at::kShort, at::kChar, at::kByte,     at::kBool};
}

TensorFile all_types() {
  TensorFile file;
  for (const auto type : types()) {
    file.tensors.emplace_back(concat("of.", type),
                              torch::arange(6).reshape({2, 3}).remainder(type == at::kBool ? 2 : 100).to(type));
  }
  file.tensors.emplace_back("scalar", torch::tensor(-2.5));
  file.tensors.emplace_back("empty", torch::zeros({0, 4}));
  file.metadata = {{"arch", "resnet18"}, {"note", "a \"quoted\"\nline"}};
  return file;
}

TEST_F(Safetensors, RoundTripsEveryType) {
  const auto file = all_types();
  write_safetensors(path("a"), file);
  const auto back = read_safetensors(path("a"));
  EXPECT_EQ(back.metadata, file.metadata);
  ASSERT_EQ(back.tensors.size(), file.tensors.size());
  const std::map<std::string, at::Tensor> found(back.tensors.begin(), back.tensors.end());
  for (const auto& [name, tensor] : file.tensors) {
    ASSERT_TRUE(found.count(name)) << name;
    EXPECT_EQ(found.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(found.at(name).equal(tensor)) << name;
  }
  const auto header = read_safetensors_header(path("a"));
  EXPECT_EQ(header.metadata, file.metadata);
  EXPECT_EQ(header.tensors.size(), file.tensors.size());
  EXPECT_TRUE(header.tensors.front().second.is_meta());
}

TEST_F(Safetensors, ReadsWhatPythonWrote) {
  const auto file = read_safetensors(UNLABEL_SOURCE_DIR "/tests/golden/all_types.safetensors");
  EXPECT_EQ(file.metadata, (std::map<std::string, std::string>{{"format", "pt"}, {"note", "caf\u00e9"}}));
  const std::map<std::string, at::Tensor> found(file.tensors.begin(), file.tensors.end());
  const std::map<std::string, at::ScalarType> expected{{"f64", at::kDouble},    {"f32", at::kFloat}, {"f16", at::kHalf},
                                                       {"bf16", at::kBFloat16}, {"i64", at::kLong},  {"i32", at::kInt},
                                                       {"i16", at::kShort},     {"i8", at::kChar},   {"u8", at::kByte}};
  EXPECT_EQ(found.size(), expected.size() + 4);
  for (const auto& [name, type] : expected) {
    EXPECT_EQ(found.at(name).scalar_type(), type);
    EXPECT_TRUE(found.at(name).equal(torch::arange(6).reshape({2, 3}).to(type))) << name;
  }
  EXPECT_TRUE(found.at("bool").equal(torch::tensor({true, false, true})));
  EXPECT_EQ(found.at("scalar").dim(), 0);
  EXPECT_EQ(found.at("scalar").item<float>(), -2.5);
  EXPECT_EQ(found.at("empty").sizes(), (std::vector<std::int64_t>{0, 4}));
  EXPECT_EQ(found.at("na\u00efve \"name\"\\").item<float>(), 1);
}

TEST_F(Safetensors, OrdersTensorsAsPythonDoes) {
  const std::string golden = UNLABEL_SOURCE_DIR "/tests/golden/all_types.safetensors";
  write_safetensors(path("a"), read_safetensors(golden));
  const auto ours = read_bytes(path("a")), theirs = read_bytes(golden);
  EXPECT_EQ(ours.size(), theirs.size());
  const auto our_header = parse_safetensors(ours, "ours"), their_header = parse_safetensors(theirs, "theirs");
  ASSERT_EQ(our_header.entries.size(), their_header.entries.size());
  for (std::size_t i = 0; i < our_header.entries.size(); ++i) {
    EXPECT_EQ(our_header.entries[i].name, their_header.entries[i].name);
    EXPECT_EQ(our_header.entries[i].begin, their_header.entries[i].begin);
  }
  const auto data = [](const std::string& bytes) {
    return bytes.substr(8 + safetensors_header_length(bytes.substr(0, 8), bytes.size(), "file"));
  };
  EXPECT_EQ(data(ours), data(theirs));
}

TEST_F(Safetensors, EqualTensorsGiveEqualBytes) {
  auto file = all_types();
  write_safetensors(path("a"), file);
  std::reverse(file.tensors.begin(), file.tensors.end());
  for (auto& [name, tensor] : file.tensors) {
    if (tensor.dim() == 2) tensor = tensor.t().contiguous().t();
  }
  write_safetensors(path("b"), file);
  EXPECT_EQ(read_bytes(path("a")), read_bytes(path("b")));
  EXPECT_EQ(files(), 2u);  // and no temporary file
}

TEST_F(Safetensors, DataIsAligned) {
  write_safetensors(path("a"), all_types());
  const auto bytes = read_bytes(path("a"));
  const auto header = parse_safetensors(bytes, "a");
  const auto data = 8 + safetensors_header_length(bytes.substr(0, 8), bytes.size(), "a");
  EXPECT_EQ(data % 8, 0u);
  for (const auto& entry : header.entries) EXPECT_EQ((data + entry.begin) % size_of(entry.type), 0u) << entry.name;
}

TEST_F(Safetensors, OverwritesAtomicallyAndCleansUp) {
  write_safetensors(path("a"), {{{"x", torch::ones({2})}}, {}});
  write_safetensors(path("a"), {{{"x", torch::zeros({3})}}, {}});
  EXPECT_EQ(read_safetensors(path("a")).tensors[0].second.numel(), 3);
  fs::create_directory(path("folder"));
  EXPECT_THROW(write_safetensors(path("folder"), {{{"x", torch::ones({2})}}, {}}), Error);
  EXPECT_THROW(write_safetensors(path("none/a"), {{{"x", torch::ones({2})}}, {}}), Error);
  EXPECT_EQ(files(), 2u);
}

TEST_F(Safetensors, AFullDiskIsAnError) {
  // A limit on the size of files is met as a full disk is: write() fails half-way.
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{4096, before.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto message = refusal<Error>([&] { write_safetensors(path("a"), {{{"x", torch::ones({4096})}}, {}}); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_NE(message.find("cannot write " + path("a")), std::string::npos) << message;
  EXPECT_NE(message.find("too large"), std::string::npos) << message;
  EXPECT_EQ(files(), 0u);
}

TEST_F(Safetensors, WhatTheFormatLacksIsRefused) {
  EXPECT_THROW(write_safetensors(path("a"), {{{"x", torch::ones({2}, at::kComplexFloat)}}, {}}), Error);
  EXPECT_THROW(write_safetensors(path("a"), {{{"x", at::Tensor()}}, {}}), Error);
  EXPECT_THROW(write_safetensors(path("a"), {{{"x", torch::ones({1})}, {"x", torch::ones({1})}}, {}}), Error);
  EXPECT_THROW(write_safetensors(path("a"), {{{"__metadata__", torch::ones({1})}}, {}}), Error);
  EXPECT_THROW(write_safetensors(path("a"), {{{"\xff", torch::ones({1})}}, {}}), Error);
  EXPECT_EQ(files(), 0u);
}

TEST_F(Safetensors, HostileHeadersAreRefused) {
  struct Case {
    std::string json;
    std::size_t data;
    std::string message;
  };
  const auto tensor = [](const std::string& type, const std::string& shape, const std::string& offsets) {
    return R"({"x":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  const std::vector<Case> cases{
      {"", 0, "not valid JSON"},
      {"{", 0, "not valid JSON"},
      {"{}x", 0, "not valid JSON"},
      {"[]", 0, "begins with a list"},
      {"3", 0, "begins with a number"},
      {"\"x\"", 0, "begins with a text"},
      {std::string(200000, '['), 0, "begins with a list"},
      {R"({"x":)" + std::string(200000, '{'), 0, "not valid JSON"},
      {R"({"x":[)" + std::string(200000, '['), 0, "'x' holds a list"},
      {R"({"x":3})", 0, "'x' holds a number"},
      {R"({"x":null})", 0, "'x' holds null"},
      {R"({"x":{}})", 0, "'x' has no dtype"},
      {R"({"x":{"dtype":"F32","data_offsets":[0,4]}})", 4, "'x' has no shape"},
      {R"({"x":{"dtype":"F32","shape":[1]}})", 4, "'x' has no data_offsets"},
      {R"({"x":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "two of 'dtype'"},
      {R"({"x":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}})", 4, "two of 'shape'"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"data_offsets":[0,4]}})", 4, "two of 'data_offsets'"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}})", 4, "'more'"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":{}}})", 4, "'more'"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       8, "'x' is listed twice"},
      {tensor("F33", "[1]", "[0,4]"), 4, "type 'F33'"},
      {tensor("f32", "[1]", "[0,4]"), 4, "type 'f32'"},
      {tensor("F8_E4M3", "[1]", "[0,1]"), 1, "type 'F8_E4M3'"},
      {tensor("F32", "1", "[0,4]"), 4, "holds a number"},
      {tensor("F32", "[-1]", "[0,4]"), 4, "a negative number"},
      {tensor("F32", "[1.5]", "[0,4]"), 4, "no integer"},
      {tensor("F32", "[1e0]", "[0,4]"), 4, "no integer"},
      {tensor("F32", "[[1]]", "[0,4]"), 4, "holds a list"},
      {tensor("F32", "[null]", "[0,4]"), 4, "holds null"},
      {tensor("F32", "[18446744073709551616]", "[0,4]"), 4, "no integer"},
      {tensor("F32", "[9223372036854775808]", "[0,4]"), 4, "too large"},
      {tensor("F32", "[4611686018427387904,4]", "[0,0]"), 0, "overflows"},
      {tensor("F32", "[4294967296,4294967296,4]", "[0,0]"), 0, "overflows"},
      {tensor("F32", "[0,9223372036854775807,9223372036854775807]", "[0,0]"), 0, "overflows"},
      {tensor("F64", "[1152921504606846976]", "[0,0]"), 0, "overflows"},
      {tensor(
           "F32",
           "[1" +
               [] {
                 std::string more;
                 for (int i = 0; i < 64; ++i) more += ",1";
                 return more;
               }() +
               "]",
           "[0,4]"),
       4, "more than 64 dimensions"},
      {tensor("F32", "[2]", "[0,4]"), 4, "has 4 bytes; its shape and type need 8"},
      {tensor("F32", "[]", "[0,8]"), 8, "has 8 bytes; its shape and type need 4"},
      {tensor("F32", "[1000000000000]", "[0,4000000000000]"), 4, "truncated"},
      {tensor("F32", "[1]", "[0]"), 4, "not two numbers"},
      {tensor("F32", "[1]", "[0,4,8]"), 4, "not two numbers"},
      {tensor("F32", "[1]", "[]"), 4, "not two numbers"},
      {tensor("F32", "[1]", "[4,0]"), 4, "before it begins"},
      {tensor("F32", "[1]", "[-4,0]"), 4, "a negative number"},
      {tensor("F32", "[1]", "[4,8]"), 8, "begins at 4"},
      {tensor("F32", "[1]", "[18446744073709551612,18446744073709551616]"), 4, "no integer"},
      {tensor("F32", "[1]", "[18446744073709551611,18446744073709551615]"), 4, "begins at 18446744073709551611"},
      {tensor("F32", "[1]", "[0,4]"), 5, "1 bytes at the end"},
      {tensor("F32", "[1]", "[0,4]"), 3, "truncated"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       8, "'b' begins at 4"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       4, "'b' begins at 0"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
       12, "'b' begins at 8"},
      {R"({"__metadata__":{"a":1}})", 0, "metadata 'a' holds a number"},
      {R"({"__metadata__":{"a":{"b":"c"}}})", 0, "metadata 'a' holds an object"},
      {R"({"__metadata__":{"a":"b","a":"c"}})", 0, "metadata 'a' is listed twice"},
      {R"({"__metadata__":[]})", 0, "holds a list"},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, "listed twice"},
      {"{\"\xff\":{}}", 0, "not valid JSON"},
      {R"({"a\u001b[2J":{}})", 0, "'a?[2J' has no dtype"},
  };
  for (const auto& hostile : cases) {
    write_bytes(path("hostile"), with_header(hostile.json, hostile.data));
    const auto message = refusal<Error>([&] { read_safetensors(path("hostile")); });
    const auto shown = hostile.json.substr(0, 100);
    EXPECT_TRUE(message.starts_with(path("hostile") + ": ")) << shown << ": " << message;
    EXPECT_NE(message.find(hostile.message), std::string::npos) << shown << ": " << message;
  }
}

TEST_F(Safetensors, HeaderLengthsThatLieAreRefused) {
  for (const std::uint64_t length : {3ull, 11ull, 100'000'001ull, 1ull << 40, 1ull << 63, ~0ull, ~0ull - 7}) {
    std::string bytes = with_header("{}", 8);
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(length >> (8 * i) & 0xff);
    write_bytes(path("a"), bytes);
    const auto message = refusal<Error>([&] { read_safetensors(path("a")); });
    EXPECT_TRUE(message.starts_with(path("a") + ": ")) << length << ": " << message;
  }
}

TEST_F(Safetensors, TruncationAtEveryByteIsNoticed) {
  write_safetensors(path("whole"), all_types());
  const auto bytes = read_bytes(path("whole"));
  ASSERT_NO_THROW(parse_safetensors(bytes, "whole"));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(parse_safetensors(std::string_view(bytes).substr(0, size), "cut"), Error) << size;
  }
  for (const std::size_t size : {std::size_t(0), std::size_t(7), std::size_t(8), std::size_t(100), bytes.size() - 1}) {
    write_bytes(path("cut"), bytes.substr(0, size));
    EXPECT_THROW(read_safetensors(path("cut")), Error) << size;
  }
  write_bytes(path("longer"), bytes + "x");
  EXPECT_THROW(read_safetensors(path("longer")), Error);
}

TEST_F(Safetensors, AnyFlippedHeaderByteIsReadOrRefused) {
  write_safetensors(path("whole"), all_types());
  const auto bytes = read_bytes(path("whole"));
  const auto data = 8 + safetensors_header_length(bytes.substr(0, 8), bytes.size(), "whole");
  std::size_t refused = 0;
  for (std::size_t i = 0; i < data; ++i) {
    for (const int mask : {1, 4, 0x20, 0x80}) {
      auto flipped = bytes;
      flipped[i] = static_cast<char>(flipped[i] ^ mask);
      try {
        const auto header = parse_safetensors(flipped, "flipped");
        for (const auto& entry : header.entries) EXPECT_LE(entry.end, bytes.size() - data);
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, data);
}

TEST_F(Safetensors, BooleansAreZeroOrOne) {
  auto bytes = with_header(R"({"flags":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", 2);
  write_bytes(path("a"), bytes);
  EXPECT_NO_THROW(read_safetensors(path("a")));
  bytes.back() = 2;
  write_bytes(path("a"), bytes);
  EXPECT_NE(refusal<Error>([&] { read_safetensors(path("a")); }).find("'flags'"), std::string::npos);
}

TEST_F(Safetensors, OnlyRegularFilesAreRead) {
  EXPECT_NE(refusal<Error>([&] { read_safetensors(path("none")); }).find("No such file"), std::string::npos);
  EXPECT_NE(refusal<Error>([&] { read_safetensors(folder_.string()); }).find("not a regular file"), std::string::npos);
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_NE(refusal<Error>([&] { read_safetensors(path("pipe")); }).find("not a regular file"), std::string::npos);
}

TEST_F(CiSafetensorsInPython, ReadsWhatWeWrote) {
  const char* chosen = std::getenv("UNLABEL_PYTHON");
  const std::string python = chosen ? chosen : "python3";
  const std::string probe =
      "import sys; from importlib.util import find_spec as f; sys.exit(not (f('safetensors') and f('torch')))";
  if (std::system((python + " -c \"" + probe + "\" 2> /dev/null").c_str()) != 0) {
    GTEST_SKIP() << python << " has no safetensors and torch; set UNLABEL_PYTHON to one that has";
  }
  write_safetensors(path("a"), all_types());
  std::ofstream(path("read.py")) << R"(import sys, torch
from safetensors import safe_open
from safetensors.torch import load_file
tensors = load_file(sys.argv[1])
assert len(tensors) == 12, tensors.keys()
for name, dtype in dict(Double=torch.float64, Float=torch.float32, Half=torch.float16, BFloat16=torch.bfloat16, Long=torch.int64,
                        Int=torch.int32, Short=torch.int16, Char=torch.int8, Byte=torch.uint8).items():
    assert tensors["of." + name].dtype == dtype
    assert torch.equal(tensors["of." + name], torch.arange(6).reshape(2, 3).to(dtype)), name
assert torch.equal(tensors["of.Bool"], torch.arange(6).reshape(2, 3) % 2 == 1)
assert tensors["scalar"].item() == -2.5 and tensors["empty"].shape == (0, 4)
with safe_open(sys.argv[1], "pt") as file:
    assert file.metadata() == {"arch": "resnet18", "note": 'a "quoted"\nline'}
)";
  EXPECT_EQ(std::system((python + " " + path("read.py") + " " + path("a")).c_str()), 0);
}

}  // namespace
}  // namespace unlabel::ssl
