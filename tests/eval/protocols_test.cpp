#include <unlabel/eval/protocols.h>
#include <unlabel/ssl/group.h>

#include "eval/support.h"
#include <gtest/gtest.h>

#include <set>

namespace unlabel::eval {
namespace {

TEST(Protocols, HaveNamesOptionsAndOneWayToRun) {
  std::set<std::pair<std::string, std::string>> names;
  for (const auto& protocol : protocols()) {
    EXPECT_TRUE(names.emplace(protocol.command, protocol.name).second) << protocol.name << " is listed twice";
    EXPECT_NE(!protocol.run_on_features, !protocol.run_on_images) << protocol.name;
    auto options = protocol.options;
    EXPECT_FALSE(options.fields().fields().empty()) << protocol.name;
    EXPECT_NO_THROW(protocol.check(options)) << protocol.name << ": its defaults are refused";
    EXPECT_NE(protocol_help(protocol.command).find(protocol.description), std::string::npos);
  }
  EXPECT_EQ(protocol_list("knn"), "dino, instdisc, lightly");
  EXPECT_EQ(protocol_list("linear"), "features, swav");
}

TEST(Protocols, UnknownNamesAreAnsweredWithTheNearest) {
  EXPECT_EQ(refusal([] { find_protocol("knn", "dinno"); }),
            "there is no knn protocol 'dinno' (did you mean 'dino'?); there are: dino, instdisc, lightly");
  EXPECT_EQ(refusal([] { find_protocol("linear", "dino"); }),
            "there is no linear protocol 'dino'; there are: features, swav");
}

TEST(Protocols, OnesOwnIsAddedOnce) {
  ProtocolSpec own{"linear", "majority", "the most frequent training class", "majority"};
  own.run_on_features = [](const AnyOptions&, const Features& train, const Features&, const ProtocolContext&) {
    return Report{.json = {{"value", std::get<0>(train.labels.mode()).item<std::int64_t>()}}, .text = "majority"};
  };
  const auto refused = [&](const std::function<void(ProtocolSpec&)>& change) {
    auto changed = own;
    change(changed);
    return refusal([&] { add_protocol(changed); });
  };
  EXPECT_NE(refused([](auto& p) { p.name = "Majority"; }).find("lower-case letters"), std::string::npos);
  EXPECT_NE(refused([](auto& p) { p.command = "guess"; }).find("no command 'guess'"), std::string::npos);
  EXPECT_NE(refused([](auto& p) { p.run_on_features = nullptr; }).find("either"), std::string::npos);
  EXPECT_NE(refused([](auto& p) { p.name = "swav"; }).find("already"), std::string::npos);
  add_protocol(own);
  EXPECT_EQ(protocol_list("linear"), "features, swav, majority");
  const auto train = testing::make_features(torch::eye(3), torch::tensor({7, 2, 7}, torch::kInt64));
  const auto& found = find_protocol("linear", "majority");
  EXPECT_EQ(found.run_on_features(found.options, train, train, {.group = *ssl::single_process()}).json["value"], 7);
}

}  // namespace
}  // namespace unlabel::eval
