#include <unlabel/augment/codec/image_files.h>

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace unlabel::augment {
namespace {

using Names = std::vector<std::string>;

TEST(ImageNames, AreThoseOfEveryFormatThatIsRead) {
  for (const char* name :
       {"a.jpg", "a.JPEG", "b.jpe", "c.jif", "d.JFIF", "e.x.png", "f.webp", "g.bmp", "h.tif", "i.TIFF", "j.pnm"}) {
    EXPECT_TRUE(is_image_name(name)) << name;
    EXPECT_FALSE(is_foreign_image_name(name)) << name;
  }
  for (const char* name : {"a.heic", "b.AVIF", "c.gif", "d.jp2", "e.jxl", "f.svg", "g.CR2"}) {
    EXPECT_FALSE(is_image_name(name)) << name;
    EXPECT_TRUE(is_foreign_image_name(name)) << name;
  }
  for (const char* name : {"jpg", "a.jpg.part", "a.jpgg", "notes.txt", ""}) {
    EXPECT_FALSE(is_image_name(name)) << name;
    EXPECT_FALSE(is_foreign_image_name(name)) << name;
  }
}

TEST(NamedSplit, KnowsTheWordsInAnyCaseAndWithNumbers) {
  for (const char* name : {"train", "Train", "TRAINING", "train2017", "training_set", "TrainingSet", "trainset",
                           "train-images", "trainval"})
    EXPECT_EQ(named_split(name), NamedSplit::kTrain) << name;
  for (const char* name : {"test", "Test", "testing", "val", "VAL", "valid", "Validation", "dev", "eval", "val2014",
                           "test-set", "testset", "ValidationImages", "holdout", "test_1"})
    EXPECT_EQ(named_split(name), NamedSplit::kTest) << name;
  for (const char* name : {"alps", "trains", "train_station", "testament", "value", "valley", "device", "cat", "set",
                           "images", "train_val", "2017", "", "t\xc3\xa9st", "train\xc3\xa9"})
    EXPECT_EQ(named_split(name), NamedSplit::kNone) << name;
  EXPECT_TRUE(has_test_word("imagenet-val-000003.tar"));
  EXPECT_TRUE(has_test_word("Valid_0.tar"));
  EXPECT_FALSE(has_test_word("imagenet-train-000003.tar"));
  EXPECT_FALSE(has_test_word("valley-0.tar"));
}

/// A folder with others in it, of which some hold images, and what is in those.
struct Tree {
  std::map<std::string, Names> folders;
  std::set<std::string> empty{};

  FolderLayout layout(bool images_beside = false) const {
    Names names;
    for (const auto& [name, below] : folders) names.push_back(name);
    return folder_layout("root", names, images_beside,
                         {[&](const std::string& name) { return !empty.contains(name); },
                          [&](const std::string& name) { return folders.at(name); }});
  }
};

TEST(FolderLayout, TakesTheTrainingFolderOfASplitByAnyName) {
  for (const char* train : {"train", "Train", "training"})
    for (const char* test : {"test", "Val", "valid", "validation", "testing", "dev", "eval"}) {
      const auto layout = Tree{{{train, {"cat", "dog"}}, {test, {"cat", "dog"}}}}.layout();
      EXPECT_EQ(layout.train, train) << test;
      EXPECT_EQ(layout.tests, Names{test});
      EXPECT_TRUE(layout.notes.empty()) << "nothing was guessed";
      EXPECT_EQ(layout.refusal, "");
    }
  const auto imagenet = Tree{{{"train", {}}, {"val", {}}, {"test", {}}, {"dev", {}}}}.layout();
  EXPECT_EQ(imagenet.tests, (Names{"test", "val", "dev"})) << "by the list of names";
}

TEST(FolderLayout, KnowsASplitOfAnotherNameByItsClasses) {
  const auto layout = Tree{{{"train", {"cat", "dog"}}, {"unseen", {"dog", "ship"}}}}.layout();
  EXPECT_EQ(layout.train, "train");
  ASSERT_EQ(layout.notes.size(), 1u);
  EXPECT_NE(layout.notes[0].find("left out is unseen/"), std::string::npos) << layout.notes[0];
}

TEST(FolderLayout, AClassNamedTrainIsTold) {
  const auto layout = Tree{{{"airplane", {}}, {"car", {}}, {"train", {}}}}.layout();
  EXPECT_EQ(layout.train, "");
  EXPECT_TRUE(layout.left_out.empty());
  ASSERT_EQ(layout.notes.size(), 1u);
  EXPECT_NE(layout.notes[0].find("train/ of root is taken for a class: airplane/ and car/ beside it hold images"),
            std::string::npos)
      << layout.notes[0];
}

TEST(FolderLayout, TellsWhatIsLeftOut) {
  const auto photos = Tree{{{"alps", {}}, {"beach", {}}, {"test", {}}, {"val", {}}}}.layout();
  EXPECT_EQ(photos.train, "");
  EXPECT_EQ(photos.left_out, (Names{"test", "val"}));
  ASSERT_EQ(photos.notes.size(), 1u);
  EXPECT_NE(photos.notes[0].find("test/ and val/ of root are left out"), std::string::npos) << photos.notes[0];
  const auto extra = Tree{{{"train", {}}, {"test", {}}, {"unlabeled", {}}, {"docs", {}}}, {"docs"}}.layout(true);
  EXPECT_EQ(extra.train, "train");
  ASSERT_EQ(extra.notes.size(), 1u);
  EXPECT_NE(extra.notes[0].find("unlabeled/, and the images beside it"), std::string::npos) << extra.notes[0];
}

TEST(FolderLayout, RefusesWhatHasNoTrainingImagesOrSeveral) {
  EXPECT_NE(Tree({{{"test", {}}, {"labels", {}}}, {"labels"}}).layout().refusal.find("has test/ but no train/"),
            std::string::npos);
  EXPECT_EQ(Tree({{{"test", {}}}}).layout(/*images_beside=*/true).refusal, "");
  const auto two = Tree{{{"Train", {}}, {"train", {}}, {"val", {}}}}.layout();
  EXPECT_NE(two.refusal.find("several folders of training images, Train/ and train/"), std::string::npos)
      << two.refusal;
  EXPECT_EQ((Tree{{{"Train", {}}, {"train", {}}, {"val", {}}}, {"Train"}}.layout().train), "train");
}

TEST(NestedSplit, TakesEveryTrainingFolderBesideTestImages) {
  const auto coco = nested_split({"test2017", "train2014", "train2017", "val2014", "val2017", "other"});
  EXPECT_EQ(coco.taken, (Names{"train2014", "train2017"}));
  EXPECT_TRUE(coco.left_out);
  EXPECT_TRUE(coco.tests.empty());
  const auto tests = nested_split({"val", "good"});
  EXPECT_EQ(tests.taken, (Names{"val", "good"}));
  EXPECT_FALSE(tests.left_out);
  EXPECT_EQ(tests.tests, Names{"val"});
  const auto plain = nested_split({"train", "good"});
  EXPECT_EQ(plain.taken, (Names{"train", "good"}));
  EXPECT_FALSE(plain.left_out);
  EXPECT_TRUE(plain.tests.empty());
}

}  // namespace
}  // namespace unlabel::augment
