#include <unlabel/augment/error.h>
#include <unlabel/launch/training/precision.h>

#include "launch/program.h"
#include "refusal.h"
#include "ssl/thread_group.h"
#include <gtest/gtest.h>

#include <cmath>
#include <mutex>

namespace unlabel::launch {
namespace {

// From /proc/cpuinfo: an EPYC of 2021, Xeons of 2019, 2020 and 2023, and two Arm processors; much shortened.
const std::string kMilan =
    "processor\t: 0\nmodel name\t: AMD EPYC 7763\nflags\t\t: fpu sse4_2 avx f16c avx2 bmi2 vaes\n";
const std::string kCascadeLake = "flags\t\t: fpu avx2 avx512f avx512dq avx512bw avx512vl avx512_vnni\n";
const std::string kCooperLake = "flags\t\t: fpu avx2 avx512f avx512vl avx512_vnni avx512_bf16 arat\n";
const std::string kAmx = "flags\t\t: fpu avx2 avx512f amx_bf16 amx_tile amx_int8\n";
const std::string kGraviton2 = "Features\t: fp asimd evtstrm aes crc32 atomics fphp asimdhp\n";
const std::string kGraviton3 = "Features\t: fp asimd sve svebf16 i8mm bf16 dgh rng\n";

std::string of_processor(const std::string& cpuinfo, bool library = true, const std::string& limit = "") {
  return native_precision({.cpuinfo = cpuinfo, .library_bf16 = library, .isa_limit = limit}).precision;
}

TEST(NativePrecision, IsBf16OnlyWhereTheDeviceMultipliesIt) {
  for (const auto& cpuinfo : {kCooperLake, kAmx, kGraviton3}) EXPECT_EQ(of_processor(cpuinfo), "bf16") << cpuinfo;
  // LibTorch's check alone is no proof: it says yes to any AVX-512, where oneDNN only imitates bf16.
  for (const auto& cpuinfo : {kMilan, kCascadeLake, kGraviton2, std::string(), std::string("flags\n")})
    EXPECT_EQ(of_processor(cpuinfo), "float32") << cpuinfo;
  EXPECT_EQ(of_processor(kCooperLake, /*library=*/false), "float32");
  EXPECT_EQ(native_precision({.gpu = true, .gpu_bf16 = true}).precision, "bf16");
  EXPECT_EQ(native_precision({.gpu = true, .gpu_bf16 = false, .cpuinfo = kAmx, .library_bf16 = true}).precision,
            "float32");
}

TEST(NativePrecision, HeedsWhatOneDnnMayUse) {
  for (const char* limit : {"SSE41", "AVX", "AVX2", "avx2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"})
    EXPECT_EQ(of_processor(kAmx, true, limit), "float32") << limit;
  for (const char* limit : {"", "ALL", "AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX", "DEFAULT"})
    EXPECT_EQ(of_processor(kAmx, true, limit), "bf16") << limit;
}

TEST(NativePrecision, IsOneForAllRanks) {
  const PrecisionVote with{true, {"bf16", "instructions"}}, without{true, {"float32", "no instructions"}};
  const PrecisionVote given{false, {"fp16", ""}};
  EXPECT_EQ(agreed_precision({with}).precision, "bf16");
  EXPECT_EQ(agreed_precision({with}).reason, "instructions");
  EXPECT_EQ(agreed_precision({with, with}).precision, "bf16");
  EXPECT_EQ(agreed_precision({with, without, with}).precision, "float32");
  EXPECT_EQ(agreed_precision({with, without, with}).reason, "on rank 1, no instructions");
  EXPECT_EQ(agreed_precision({without, with, given}).precision, "fp16");

  std::mutex mutex;
  std::vector<std::string> settled, notes;
  ssl::testing::run_ranks(2, [&](std::shared_ptr<const ssl::Group> group) {
    std::string precision = group->rank() == 0 ? "float64" : "auto";
    const auto note = resolve_precision(*group, at::kCPU, precision);
    const std::lock_guard lock(mutex);
    settled.push_back(precision);
    if (!note.empty()) notes.push_back(note);
  });
  EXPECT_EQ(settled, std::vector<std::string>({"float64", "float64"}));
  EXPECT_EQ(notes, std::vector<std::string>({"precision float64: on rank 0, it was set explicitly"}));
}

TEST(NativePrecision, UnknownNamesAreRefusedWithThoseThatThereAre) {
  EXPECT_NO_THROW(require_precision("auto"));
  EXPECT_NO_THROW(require_precision("float64"));
  EXPECT_NE(refusal([] { require_precision("bf61"); }).find("and auto"), std::string::npos);
}

TEST(NativePrecision, AWarningNamesATimedFactor) {
  EXPECT_EQ(slow_precision_warning("float32", at::kCPU), "");
  EXPECT_EQ(slow_precision_warning("float64", at::kCPU), "");
  const double factor = slowdown_of("bf16", at::kCPU);
  EXPECT_GT(factor, 0.01);
  EXPECT_LT(factor, 1000);
}

/// As on a processor without AVX-512.
const Variables kOldProcessor{{"ONEDNN_MAX_CPU_ISA", "AVX2"}, {"ATEN_CPU_CAPABILITY", "avx2"}};

class CiNativePrecision : public ::testing::Test {
 protected:
  void SetUp() override { make_images(data(), 64, 20, 2); }
  std::string data() const { return work_ / "images"; }
  Arguments run(const std::string& name, const std::string& precision, int steps) const {
    return with(small_run(data(), work_ / name), {{"--precision", precision}, {"--max-steps", std::to_string(steps)}});
  }
  const TemporaryFolder work_;
};

TEST_F(CiNativePrecision, ARunGoesOnWithTheOneThatItBeganWith) {
  const auto began = unlabel(run("run", "auto", 3), kOldProcessor);
  ASSERT_EQ(began.exit_code, 0) << began.err;
  EXPECT_NE(began.err.find("precision float32: "), std::string::npos) << began.err;
  const auto config = [&] { return nlohmann::json::parse(read_bytes(work_ / "run/config.json"))["precision"]; };
  EXPECT_EQ(config(), "float32");
  const auto went_on = unlabel(run("run", "auto", 6));  // on this processor, whatever it has
  ASSERT_EQ(went_on.exit_code, 0) << went_on.err;
  EXPECT_NE(went_on.err.find(", with precision float32"), std::string::npos) << went_on.err;
  EXPECT_EQ(config(), "float32");
}

TEST_F(CiNativePrecision, WhatIsSlowIsToldWhenItIsGiven) {
  const auto outcome = unlabel(run("run", "bf16", 1), kOldProcessor);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("warning: a convolution in bf16 takes "), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("--precision auto selects float32"), std::string::npos) << outcome.err;
}

// The arithmetic of processors without AVX-512, which no other test runs on a newer one.
TEST_F(CiNativePrecision, AnOldProcessorLearnsTheSame) {
  std::vector<std::vector<double>> losses;
  for (const auto& processor : {Variables{}, kOldProcessor}) {
    const auto name = std::to_string(losses.size());
    const auto outcome = unlabel(run(name, "float32", 12), processor);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    losses.emplace_back();
    for (const auto& line : read_lines(work_ / name + "/metrics.jsonl")) losses.back().push_back(line.at("loss"));
  }
  ASSERT_EQ(losses[0].size(), 12U);
  ASSERT_EQ(losses[1].size(), 12U);
  for (std::size_t step = 0; step < 12; ++step) EXPECT_NEAR(losses[0][step], losses[1][step], 1e-3) << step;
}

}  // namespace
}  // namespace unlabel::launch
