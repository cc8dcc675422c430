#include <unlabel/augment/error.h>
#include <unlabel/augment/options.h>

#include "refusal.h"
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace unlabel {
namespace {

struct Inner {
  double epsilon = 0.05;
  int iterations = 3;
};
struct Outer {
  bool frozen = false;
  std::string name = "swav";
  std::vector<double> scale{0.14, 1};
  std::optional<std::int64_t> queue;
  std::uint64_t seed = 0;
  Inner inner;
};

OptionTable table(Inner& o) {
  OptionTable t;
  t.add("epsilon", o.epsilon, "regularisation");
  t.add("iterations", o.iterations, "rounds");
  return t;
}
OptionTable table(Outer& o) {
  OptionTable t;
  t.add("frozen", o.frozen, "frozen");
  t.add("name", o.name, "name");
  t.add("scale", o.scale, "scale");
  t.add("queue", o.queue, "queue");
  t.add("seed", o.seed, "seed");
  t.section("sinkhorn", table(o.inner));
  return t;
}

/// Sets a field from the text of a command line.
void set_text(OptionTable& t, const std::string& name, const std::string& text) {
  t.from_json({{name, t.parse_text(name, text)}}, "command line");
}

TEST(OptionTable, RoundTrips) {
  Outer a, b;
  a.queue = 3840;
  a.inner.epsilon = 0.03;
  a.seed = 18446744073709551615ull;
  table(b).from_json(table(a).to_json(), "test");
  EXPECT_EQ(table(a).to_json(), table(b).to_json());
  EXPECT_EQ(*b.queue, 3840);
  EXPECT_EQ(b.seed, a.seed);
  table(b).from_json({{"sinkhorn.epsilon", 1}, {"queue", nullptr}}, "test");
  EXPECT_EQ(b.inner.epsilon, 1.0);
  EXPECT_FALSE(b.queue.has_value());
}

TEST(OptionTable, FlattensWhatItChecks) {
  Outer o;
  auto t = table(o);
  EXPECT_EQ(t.flatten({{"sinkhorn", {{"iterations", 5}}}, {"sinkhorn.epsilon", 1}, {"queue", nullptr}}, "r.json"),
            nlohmann::json({{"sinkhorn.iterations", 5}, {"sinkhorn.epsilon", 1}, {"queue", nullptr}}));
  EXPECT_EQ(t.flatten({{"sinkhorn", nlohmann::json::object()}}, "r.json"), nlohmann::json::object());
  EXPECT_EQ(o.inner.iterations, 3) << "it sets nothing";
  EXPECT_EQ(t.parse_text("queue", "null"), nullptr);
  EXPECT_EQ(t.parse_text("scale", "1"), nlohmann::json::array({1}));
  EXPECT_EQ(t.parse_text("name", "null"), "null");
}

TEST(OptionTable, ReadsCommandLineText) {
  Outer o;
  auto t = table(o);
  set_text(t, "frozen", "true");
  set_text(t, "scale", "0.2,0.9");
  set_text(t, "sinkhorn.iterations", "5");
  set_text(t, "name", "123");
  EXPECT_TRUE(o.frozen);
  EXPECT_EQ(o.scale, (std::vector<double>{0.2, 0.9}));
  EXPECT_EQ(o.inner.iterations, 5);
  EXPECT_EQ(o.name, "123");
}

TEST(OptionTable, RefusesWithTheNameAndTheNearestOne) {
  Outer o;
  auto t = table(o);
  EXPECT_EQ(refusal([&] {
              t.from_json({{"sinkhorn", {{"epsilom", 1}}}}, "r.json");
            }),
            "r.json: unknown option 'sinkhorn.epsilom' (did you mean 'sinkhorn.epsilon'?)");
  EXPECT_EQ(refusal([&] {
              t.from_json({{"sinkhorn", {{"iterations", 2.5}}}}, "r.json");
            }),
            "r.json: 'sinkhorn.iterations' takes integer, not 2.5");
  EXPECT_EQ(refusal([&] { set_text(t, "seed", "-1"); }), "'seed' takes integer >= 0, not -1");
  EXPECT_EQ(refusal([&] { set_text(t, "sinkhorn.iterations", "3000000000"); }),
            "'sinkhorn.iterations' takes integer, not 3000000000");
  EXPECT_EQ(refusal([&] { set_text(t, "nam", "x"); }), "unknown option '--nam' (did you mean 'name'?)");
  EXPECT_EQ(refusal([&] { set_text(t, "zzzzzz", "x"); }), "unknown option '--zzzzzz'");
}

TEST(OptionTable, RefusesAnEmptyObject) {
  Outer o;
  auto t = table(o);
  const auto empty = nlohmann::json::object();
  EXPECT_EQ(refusal([&] { t.from_json({{"sinkhorm", empty}}, "r.json"); }), "r.json: unknown option 'sinkhorm'");
  for (const char* name : {"frozen", "name", "scale", "queue", "seed", "sinkhorn.epsilon"})
    EXPECT_NE(refusal([&] {
                t.from_json({{name, empty}}, "r.json");
              }).find(std::string("r.json: '") + name + "' takes "),
              std::string::npos)
        << name;
  t.from_json({{"sinkhorn", empty}}, "r.json");  // a section of which nothing is set
  t.from_json(empty, "r.json");
}

TEST(OptionTable, RefusesAFieldThatIsGivenTwiceInTwoSpellings) {
  Outer o;
  EXPECT_EQ(refusal([&] {
              table(o).from_json({{"sinkhorn", {{"epsilon", 1}}}, {"sinkhorn.epsilon", 2}}, "r.json");
            }),
            "r.json: 'sinkhorn.epsilon' is given twice");
}

TEST(OptionTable, RefusesWordsOfAnyLengthAtOnceAndInOneLine) {
  Outer o;
  auto t = table(o);
  const std::string word(5 << 20, 'e');
  EXPECT_EQ(nearest_name(word, {"epsilon"}), "");
  EXPECT_EQ(nearest_name("epsilom", {"epsilon"}), "epsilon");
  for (const auto& text : {refusal([&] {
                             t.from_json({{word, 1}}, "r.json");
                           }),
                           refusal([&] { set_text(t, word, "1"); }), refusal([&] { set_text(t, "seed", word); })})
    EXPECT_LT(text.size(), 150u);
  // A text that nests without end is only a text that is no number.
  EXPECT_EQ(refusal([&] { set_text(t, "seed", std::string(100000, '[') + std::string(100000, ']')); }),
            "'seed' takes integer >= 0, not \"" + std::string(56, '[') + "...");
}

TEST(OptionTable, SaysHowANumberIsWritten) {
  Outer o;
  auto t = table(o);
  EXPECT_EQ(refusal([&] { set_text(t, "sinkhorn.epsilon", ".06"); }),
            "'sinkhorn.epsilon' takes number, not \".06\"; write 0.06");
  EXPECT_EQ(refusal([&] { set_text(t, "sinkhorn.epsilon", "-.5"); }),
            "'sinkhorn.epsilon' takes number, not \"-.5\"; write -0.5");
  EXPECT_EQ(refusal([&] { set_text(t, "sinkhorn.epsilon", "0,06"); }),
            "'sinkhorn.epsilon' takes number, not \"0,06\"; write 0.06");
  EXPECT_EQ(refusal([&] { set_text(t, "scale", ".14,1"); }),
            "'scale' takes list of numbers, not \".14,1\"; write 0.14,1");
  EXPECT_EQ(refusal([&] { set_text(t, "scale", "-.5, .25"); }),
            "'scale' takes list of numbers, not \"-.5, .25\"; write -0.5, 0.25");
  EXPECT_EQ(refusal([&] { set_text(t, "scale", ".1,x"); }).find("write"), std::string::npos);
}

TEST(OptionTable, ChangesNothingWhenOneValueIsRefused) {
  Outer o;
  const auto before = table(o).to_json();
  EXPECT_THROW(table(o).from_json({{"name", "other"}, {"seed", "x"}}, "t"), UsageError);
  EXPECT_EQ(table(o).to_json(), before);
}

}  // namespace
}  // namespace unlabel
