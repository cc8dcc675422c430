#include <unlabel/augment/error.h>
#include <unlabel/launch/command_line.h>

#include "refusal.h"
#include <gtest/gtest.h>

#include <functional>

namespace unlabel::launch::command_line_test {
namespace {

struct Options {
  std::string method;
  std::int64_t batch_size = 256;
  bool untrained = false;
  double temperature = 0.1;
};

OptionTable table(Options& o) {
  OptionTable t;
  t.add("method", o.method, "what to train");
  t.add("batch_size", o.batch_size, "images a step, over all ranks");
  t.add("untrained", o.untrained, "random weights");
  OptionTable inner;
  inner.add("temperature", o.temperature, "softmax temperature");
  t.section("swav", inner);
  return t;
}

const CommandSpec kSpec{"unlabel pretrain METHOD [options]", "Pretrains.", {"method"}, ""};

Options parse(const std::vector<std::string>& arguments) {
  Options options;
  auto t = table(options);
  parse_command_line(arguments, t, kSpec).apply(t);
  return options;
}

std::string refusal(const std::vector<std::string>& arguments) {
  return unlabel::refusal([&] { parse(arguments); });
}

TEST(CommandLine, TakesEverySpelling) {
  auto options = parse({"swav", "--batch-size", "64", "--swav.temperature=0.2", "--untrained"});
  EXPECT_EQ(options.method, "swav");
  EXPECT_EQ(options.batch_size, 64);
  EXPECT_EQ(options.temperature, 0.2);
  EXPECT_TRUE(options.untrained);
  options = parse({"--batch_size=32", "byol", "--untrained=no", "--swav.temperature", "1e-1"});
  EXPECT_EQ(options.method, "byol");
  EXPECT_EQ(options.batch_size, 32);
  EXPECT_FALSE(options.untrained);
}

TEST(CommandLine, RefusesWithAdvice) {
  EXPECT_EQ(refusal({"--batchsize", "3"}), "unknown option '--batchsize' (did you mean 'batch-size'?); see --help");
  EXPECT_EQ(refusal({"--temperature", "3"}),
            "unknown option '--temperature' (did you mean 'swav.temperature'?); see --help");
  EXPECT_EQ(refusal({"--batch-size", "many"}), "--batch-size: 'batch_size' takes integer, not \"many\"");
  EXPECT_EQ(refusal({"--batch-size", "1", "--batch-size", "2"}), "--batch-size is given twice");
  EXPECT_EQ(refusal({"swav", "byol"}), "too many arguments without a dash; it takes 1; see --help");
  EXPECT_NE(refusal({"--batch-size"}).find("batch-size"), std::string::npos);
  EXPECT_NE(refusal({"--batch", "3"}), "(accepted)");  // no guessing from a beginning
}

TEST(CommandLine, HelpNamesEveryField) {
  Options options;
  const auto text = help_text(table(options), kSpec);
  for (const char* part :
       {"usage: unlabel pretrain METHOD", "--batch-size", "[256]", "swav:", "--swav.temperature", "--help"})
    EXPECT_NE(text.find(part), std::string::npos) << part;

  auto told = table(options);
  for (auto& field : told.fields()) field.default_shown = false;
  EXPECT_EQ(help_text(told, kSpec).find("[256]"), std::string::npos);

  auto without = kSpec;
  without.left_out = {"swav"};
  const auto shorter = help_text(table(options), without);
  EXPECT_EQ(shorter.find("swav."), std::string::npos);
  EXPECT_NE(shorter.find("--batch-size"), std::string::npos);
}

}  // namespace
}  // namespace unlabel::launch::command_line_test
