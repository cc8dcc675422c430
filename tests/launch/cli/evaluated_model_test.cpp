#include <unlabel/augment/error.h>
#include <unlabel/launch/cli/eval_common.h>
#include <unlabel/launch/pretrain/run_record.h>
#include <unlabel/ssl/weights/weights.h>

#include "data/temp_folder.h"
#include "refusal.h"
#include "ssl/thread_group.h"
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

const ssl::EncoderOptions kTiny{.arch = "resnet18", .width = 2, .stem = "small"};

class Subjects : public ::testing::Test {
 protected:
  Subjects() { torch::manual_seed(1); }

  std::string weights(const std::string& name, const std::map<std::string, std::string>& metadata,
                      const ssl::EncoderOptions& options = kTiny) {
    ssl::write_encoder(folder_ / name, *ssl::make_encoder(options), options, metadata);
    return folder_ / name;
  }

  /// As a command does it.
  EvaluatedModel subject(const std::string& checkpoint, const Arguments& more = {}) {
    EvaluationOptions options;
    auto fields = table(options);
    Arguments all{"--checkpoint", checkpoint};
    all.insert(all.end(), more.begin(), more.end());
    const auto line = parse_command_line(all, fields, {});
    line.apply(fields);
    return load_model(options, line, at::kCPU);
  }

  MeasuredSets sets(const Arguments& arguments, std::vector<std::string>* said = nullptr) {
    EvaluationOptions options;
    auto fields = table(options);
    parse_command_line(arguments, fields, {}).apply(fields);
    Warnings warnings(/*printed=*/false);
    auto opened = open_sets(options, *ssl::single_process(), warnings);
    if (said) *said = warnings.sentences();
    return opened;
  }

  void images(const std::string& split, const std::vector<std::string>& classes, int count, std::uint64_t seed) {
    for (const auto& name : classes)
      for (int i = 0; i < count; ++i)
        folder_.write_image(split + "/" + name + (name.empty() ? "" : "/") + std::to_string(i) + ".png", 12, 10,
                            ++seed * 1000);
  }

  data::TempFolder folder_;
};

TEST_F(Subjects, MetadataIsReadOrRefused) {
  const auto of = [&](const std::map<std::string, std::string>& metadata) {
    return subject(weights("a.safetensors", metadata), {"--size", "16"});
  };
  EXPECT_EQ(of({{"mean", "[0.5,0.25,0.75]"}, {"std", "[1,2,3]"}}).mean, (std::vector<double>{0.5, 0.25, 0.75}));
  EXPECT_EQ(of({{"mean", "0.1,0.9,0.2"}, {"std", "0.5, 0.5, 0.5"}}).mean, (std::vector<double>{0.1, 0.9, 0.2}));
  EXPECT_EQ(of({}).mean, (std::vector<double>{0.485, 0.456, 0.406})) << "a file that says nothing";
  for (const std::string text :
       {"", "abc", "{}", "[]", "[\"0.5\"]", "0.1;0.9;0.2", "[1e999,0,0]", "[0.1,0.2,0.3", "0.1 0.2 0.3"}) {
    const auto message = refusal<UsageError>([&] { of({{"mean", text}, {"std", "[1,1,1]"}}); });
    EXPECT_NE(message.find("a.safetensors: its metadata says mean '" + text + "', which is not a list of numbers"),
              std::string::npos)
        << message;
  }
  EXPECT_NE(refusal([&] { of({{"mean", "[0,0,0]"}}); }).find("has a mean and no std; give --std"), std::string::npos);
  EXPECT_NE(refusal([&] { of({{"std", "[1,1,1]"}}); }).find("has a std and no mean; give --mean"), std::string::npos);
  EXPECT_NE(refusal([&] {
              of({{"mean", "[0,0]"}, {"std", "[1,1,1]"}});
            }).find("2 means and 3 deviations"),
            std::string::npos);
  EXPECT_NE(refusal([&] {
              of({{"mean", "[0,0,0]"}, {"std", "[1,0,1]"}});
            }).find("above 0, and one is 0"),
            std::string::npos);
  // What the command line gives need not be in the file.
  const auto file = weights("b.safetensors", {{"mean", "x"}, {"std", "y"}, {"size", "abc"}});
  EXPECT_EQ(subject(file, {"--size", "16", "--mean", "0,0,0", "--std", "1,1,1"}).std, (std::vector<double>{1, 1, 1}));
}

TEST_F(Subjects, SizesAreWholeNumbers) {
  EXPECT_EQ(subject(weights("a.safetensors", {{"size", "48"}})).size, 48);
  for (const std::string text : {"abc", "32px", "", "0", "-32", "4097", "32.5", "99999999999999999999"}) {
    const auto message = refusal<UsageError>([&] { subject(weights("a.safetensors", {{"size", text}})); });
    EXPECT_NE(message.find("its metadata says size '" + text + "'"), std::string::npos) << message;
    EXPECT_NE(message.find("give --size"), std::string::npos) << message;
  }
}

TEST_F(Subjects, DecodeAsTrainingDid) {
  PretrainOptions trained;
  trained.method = "swav";
  trained.decode.exif_orientation = true;
  trained.decode.strict = true;
  trained.decode.max_pixels = 1000000000;
  const auto file = weights("a.safetensors", encoder_metadata(trained));
  const auto fields_of = [](augment::DecodeOptions options) { return augment::table(options).to_json(); };
  EXPECT_EQ(fields_of(subject(file).decode), fields_of(trained.decode)) << "every option of the section is remembered";
  // What is given wins, field by field.
  auto other = trained.decode;
  other.max_pixels = 77;
  EXPECT_EQ(fields_of(subject(file, {"--decode.max-pixels", "77"}).decode), fields_of(other));
  EXPECT_FALSE(subject(file, {"--decode.exif-orientation", "no"}).decode.exif_orientation);
  EXPECT_FALSE(subject(file, {"--exif-orientation", "no"}).decode.exif_orientation);
  EXPECT_NE(refusal([&] {
              subject(file, {"--exif-orientation", "no", "--decode.exif-orientation", "yes"});
            }).find("contradict"),
            std::string::npos);
  // Both sides of a measurement get it.
  EvaluationOptions options;
  EXPECT_EQ(fields_of(feature_options(subject(file), options, at::kCPU).decode), fields_of(trained.decode));

  // Files of before say one thing; others may say what cannot be read.
  const auto says = [&](const std::map<std::string, std::string>& metadata) {
    auto all = metadata;
    all["size"] = "16";
    return subject(weights("b.safetensors", all)).decode.exif_orientation;
  };
  EXPECT_TRUE(says({{"exif_orientation", "true"}}));
  EXPECT_FALSE(says({}));
  EXPECT_NE(refusal([&] { says({{"exif_orientation", "maybe"}}); }).find("'maybe'"), std::string::npos);
  EXPECT_NE(refusal([&] { says({{"decode", "{"}}); }).find("decode"), std::string::npos);
  EXPECT_NE(refusal([&] { says({{"decode", "{\"unheard_of\": 1}"}}); }).find("unheard_of"), std::string::npos);
}

TEST_F(Subjects, TheWeightsDecideTheNetwork) {
  const auto file = weights("a.safetensors", {{"size", "16"}});
  EXPECT_NE(subject(file).description.find("(resnet18, width 2)"), std::string::npos);
  EXPECT_NO_THROW(subject(file, {"--encoder.arch", "resnet18", "--encoder.width", "2"}));
  EXPECT_NO_THROW(subject(file, {"--encoder.arch", "resnet18"})) << "the width that is not given is the file's";
  EXPECT_EQ(refusal<MismatchError>([&] {
              subject(file, {"--encoder.arch", "resnet50"});
            }),
            "--encoder.arch is \"resnet50\", but the weights in " + file +
                " have \"resnet18\"; leave it out: the weights decide");
  EXPECT_NE(refusal<MismatchError>([&] {
              subject(file, {"--encoder.width", "8"});
            }).find("is 8, but the weights in"),
            std::string::npos);
  auto broken = ssl::read_safetensors(file);
  std::ranges::find_if(broken.tensors, [](const auto& item) {
    return item.second.is_floating_point();
  })->second.fill_(NAN);
  ssl::write_safetensors(folder_ / "nan.safetensors", broken);
  EXPECT_NE(refusal([&] {
              subject(folder_ / "nan.safetensors");
            }).find("the weights of " + (folder_ / "nan.safetensors") + " are not finite"),
            std::string::npos);
}

TEST_F(Subjects, LabelsAreKnownBeforeAnyImageIsRead) {
  // Images that cannot be decoded: nothing here may look at one.
  for (const std::string name : {"cat/1.png", "dog/1.png"}) folder_.write("late/train/" + name, std::string("none"));
  folder_.write("late/test/1.png", std::string("none"));
  const auto message = refusal([&] { sets({"--data", folder_ / "late"}); });
  EXPECT_NE(message.find("1 of 1 test images have no label"), std::string::npos) << message;
  EXPECT_NE(message.find(folder_ / "late/test"), std::string::npos) << message;
  // Where val/ has labels, as in ImageNet's folders, it is taken.
  for (const std::string name : {"cat/1.png", "dog/1.png"}) folder_.write("late/val/" + name, std::string("another"));
  std::vector<std::string> said;
  const auto opened = sets({"--data", folder_ / "late"}, &said);
  EXPECT_EQ(opened.test->size(), 2);
  EXPECT_NE(opened.test->description().find("late/val"), std::string::npos);
  const auto all = joined(said, "; ");
  EXPECT_NE(all.find("val"), std::string::npos) << "the choice is told: " << all;
  // Training images without labels are refused as well.
  folder_.write("plain/train/1.png", std::string("none"));
  folder_.write("plain/test/1.png", std::string("none"));
  EXPECT_NE(refusal([&] {
              sets({"--data", folder_ / "plain"});
            }).find("training images have no label"),
            std::string::npos);
}

TEST_F(Subjects, WhatMakesAFigureDoubtfulIsToldBefore) {
  images("train", {"cat", "dog", "ship"}, 4, 0);
  images("numbers", {"1", "2", "3"}, 2, 100);
  images("more", {"cat", "dog", "horse"}, 2, 200);
  images("one", {"dog"}, 2, 300);
  EXPECT_NE(refusal([&] {
              sets({"--train", folder_ / "train", "--test", folder_ / "numbers"});
            }).find("none of the test classes 1, 2, 3 is among the training classes cat, dog, ship"),
            std::string::npos);
  std::vector<std::string> said;
  sets({"--train", folder_ / "train", "--test", folder_ / "more"}, &said);
  EXPECT_EQ(said, (std::vector<std::string>{
                      "2 of 6 test images belong to classes without training images (horse) and count as wrong"}));
  const auto one = sets({"--train", folder_ / "train", "--test", folder_ / "one"}, &said);
  EXPECT_EQ(one.test->label(0), 1);
  EXPECT_TRUE(said.empty());
  const auto same = sets({"--train", folder_ / "train", "--test", folder_ / "train"}, &said);
  EXPECT_EQ(same.shared.shared, 12);
  ASSERT_EQ(said.size(), 1u);
  EXPECT_NE(said[0].find("12 of 12 test images that were compared are training images too"), std::string::npos)
      << said[0];
}

TEST_F(Subjects, RanksAgreeOnSettingsAndWeights) {
  const auto file = weights("a.safetensors", {{"size", "16"}});
  const auto one = subject(file), again = subject(file);
  const auto other = subject(weights("b.safetensors", {{"size", "16"}})), larger = subject(file, {"--size", "32"});
  const auto told = [&](const EvaluatedModel& second, int batch) {
    std::vector<std::string> messages(2);
    ssl::testing::run_ranks(2, [&](std::shared_ptr<const ssl::Group> group) {
      const bool first = group->rank() == 0;
      EvaluationOptions options;
      options.features.threads = group->rank();  // speed may differ
      auto fields = table(options);
      fields.from_json({{"features.batch_size", first ? 256 : batch}}, "test");
      messages[static_cast<std::size_t>(group->rank())] =
          refusal<MismatchError>([&] { require_same_settings(*group, fields, first ? one : second); });
    });
    EXPECT_EQ(messages[0], messages[1]) << "every rank is told the same";
    return messages[0];
  };
  EXPECT_EQ(told(again, 256), "(accepted)");
  EXPECT_NE(told(again, 5).find("other settings than rank 0: features.batch_size 5 and not 256"), std::string::npos);
  EXPECT_NE(told(larger, 256).find("images.size 32 and not 16"), std::string::npos);
  EXPECT_NE(told(other, 256).find("other weights than rank 0"), std::string::npos);
}

TEST_F(Subjects, RankZeroListsTheImagesAndSettlesTheirSize) {
  images("train", {"cat", "dog"}, 2, 0);
  images("test", {"cat", "dog"}, 2, 100);
  fs::create_directories(folder_ / "there");
  for (const std::string split : {"train", "test"})
    fs::copy(folder_ / split, folder_ / ("there/" + split), fs::copy_options::recursive);
  const auto file = weights("a.safetensors", {});  // says no size
  ASSERT_EQ(subject(file).size, 0);
  const auto told = [&] {
    std::vector<std::string> messages(2);
    ssl::testing::run_ranks(2, [&](std::shared_ptr<const ssl::Group> group) {
      EvaluationOptions options;
      options.data = group->rank() == 0 ? folder_.path() : folder_ / "there";
      Warnings warnings(/*printed=*/false);
      messages[static_cast<std::size_t>(group->rank())] = refusal<MismatchError>([&] {
        const auto opened = open_sets(options, *group, warnings);
        EXPECT_EQ(opened.train->size(), 4);
        EXPECT_EQ(opened.test->size(), 4);
        auto measured = subject(file);
        resolve_size(measured, *opened.test, options, *group);
        EXPECT_EQ(measured.size, 10) << "the median short side";
      });
    });
    EXPECT_EQ(messages[0], messages[1]) << "every rank is told the same";
    return messages[0];
  };
  folder_.write_image("there/test/dog/more.png", 12, 10, 1);
  EXPECT_EQ(told(), "(accepted)") << "rank 1 does not list";
  fs::remove(folder_ / "there/test/dog/1.png");
  EXPECT_NE(told().find("rank 1: the data differ from rank 0's"), std::string::npos);
}

class Initialisation : public Subjects {
 protected:
  void SetUp() override {
    for (int i = 0; i < 40; ++i)
      folder_.write_image("data/" + std::to_string(i) + ".png", 32, 32, static_cast<std::uint64_t>(i));
  }
  ResolvedOptions resolve(const Arguments& more) {
    PretrainOptions defaults;
    const auto fields = table(defaults);
    CommandSpec spec;
    spec.positionals = {"method"};
    Arguments all{"swav", "--data", folder_ / "data"};
    all.insert(all.end(), more.begin(), more.end());
    return resolve_options(parse_command_line(all, fields, spec), Purpose::kDryRun);
  }
};

TEST_F(Initialisation, TheWeightsDecideThePlansNetwork) {
  const auto file = weights("a.safetensors", {}, {.arch = "resnet34", .width = 4, .stem = "imagenet"});
  const auto resolved = resolve({"--init", file});
  EXPECT_EQ(resolved.options.encoder.arch, "resnet34");
  EXPECT_EQ(resolved.options.encoder.width, 4);
  EXPECT_EQ(resolved.options.encoder.stem, "imagenet") << "small images alone would have the small one";
  const auto choice = std::ranges::find(resolved.choices, "encoder.arch", &ssl::PlannedSetting::setting);
  ASSERT_NE(choice, resolved.choices.end());
  EXPECT_EQ(choice->reason, "as the weights of --init have it");
  // Equal options may be given; of others both values are told.
  EXPECT_NO_THROW(resolve({"--init", file, "--encoder.width", "4"}));
  EXPECT_EQ(
      refusal([&] {
        resolve({"--init", file, "--encoder.width", "8"});
      }),
      "--encoder.width is 8, but the weights in " + file + " have 4; leave it out: of another width nothing fits");
  const auto other_stem = refusal([&] { resolve({"--init", file, "--encoder.stem", "small"}); });
  EXPECT_NE(other_stem.find("\"small\", but the weights"), std::string::npos) << other_stem;
  EXPECT_NE(other_stem.find("take what fits with --init-partial"), std::string::npos) << other_stem;
  // A part is taken only when it is asked for; then what is given is built.
  const auto part = resolve({"--init", file, "--encoder.stem", "small", "--init-partial"});
  EXPECT_EQ(part.options.encoder.stem, "small");
  EXPECT_EQ(part.options.encoder.width, 4);
  EXPECT_NE(refusal([&] { resolve({"--init-partial"}); }).find("--init"), std::string::npos);
}

TEST_F(Initialisation, TheWeightsDecideARecipesNetwork) {
  const auto file = weights("a.safetensors", {}, {.arch = "resnet18", .width = 2, .stem = "small"});
  folder_.write("silent.json", R"({"method": "swav", "batch_size": 20})");
  folder_.write("other.json", R"({"method": "swav", "batch_size": 20, "encoder": {"arch": "resnet50"}})");
  const auto resolved = resolve({"--init", file, "--recipe", folder_ / "silent.json"});
  EXPECT_EQ(resolved.options.encoder.arch, "resnet18");
  EXPECT_EQ(resolved.options.encoder.width, 2);
  EXPECT_EQ(resolved.options.encoder.stem, "small");
  EXPECT_NE(refusal([&] {
              resolve({"--init", file, "--recipe", folder_ / "other.json"});
            }).find("\"resnet50\", but the weights in " + file + " have \"resnet18\""),
            std::string::npos);
}

TEST_F(Initialisation, WeightsAreNotAdvisedToThoseWhoGiveThem) {
  const auto advised = [&](const Arguments& more) {
    return std::ranges::any_of(resolve(more).warnings,
                               [](const auto& line) { return line.find("with --init") != std::string::npos; });
  };
  EXPECT_TRUE(advised({}));
  EXPECT_FALSE(advised({"--init", weights("a.safetensors", {})}));
}

TEST_F(Initialisation, WhatIsNoKnownNetworkNeedsAName) {
  ssl::write_safetensors(folder_ / "vit.safetensors", {{{"blocks.0.attn.qkv.weight", torch::ones({3, 3})}}, {}});
  const auto message = refusal([&] { resolve({"--init", folder_ / "vit.safetensors"}); });
  EXPECT_NE(message.find("give the architecture with --encoder.arch"), std::string::npos) << message;
  EXPECT_NE(refusal([&] {
              resolve({"--init", folder_ / "none.safetensors"});
            }).find("no such file"),
            std::string::npos);
}

}  // namespace
}  // namespace unlabel::launch
