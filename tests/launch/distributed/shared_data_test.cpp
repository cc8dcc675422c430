#include <unlabel/augment/error.h>
#include <unlabel/data/formats.h>
#include <unlabel/launch/distributed/shared_data.h>

#include "data/temp_folder.h"
#include "inject/faults.h"
#include "launch/rank_threads.h"
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <string>

namespace unlabel::launch {
namespace {

using data::Split;
using data::TempFolder;

/// The same 40 images in a place for each of three ranks.
class OpenOnAllRanks : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto& place : places)
      for (int i = 10; i < 50; ++i)
        place.write(concat("train/", i % 2 ? "a/" : "b/", i, ".jpg"), std::string_view("xyz"));
  }
  void open(const std::function<void(int rank, const data::Dataset&)>& look) {
    run_gloo_ranks(3, [&](const std::shared_ptr<const ssl::Group>& group) {
      const auto rank = group->rank();
      look(rank, *open_on_all_ranks(places[static_cast<std::size_t>(rank)].path(), Split::kTrain, *group, 60));
    });
  }
  const std::array<TempFolder, 3> places;
};

TEST_F(OpenOnAllRanks, TheFirstRankListsForAll) {
  places[1].write("train/a/more.jpg", std::string_view("not in the list, so never seen"));
  const auto fingerprint = data::open_dataset(places[0].path(), Split::kTrain)->fingerprint();
  std::atomic<int> same = 0;
  open([&](int, const data::Dataset& dataset) {
    same += dataset.size() == 40 && dataset.fingerprint() == fingerprint && dataset.class_names().size() == 2;
  });
  EXPECT_EQ(same, 3);
}

TEST_F(OpenOnAllRanks, OtherFilesOfARankAreRefusedOnAll) {
  std::filesystem::remove(places[2] / "train/b/48.jpg");  // the last of the list
  std::atomic<int> refused = 0;
  run_gloo_ranks(3, [&](const std::shared_ptr<const ssl::Group>& group) {
    try {
      open_on_all_ranks(places[static_cast<std::size_t>(group->rank())].path(), Split::kTrain, *group, 60);
    } catch (const MismatchError& error) {
      refused += std::string(error.what()).find("rank 2: the data differ from rank 0's: ") == 0;
    }
  });
  EXPECT_EQ(refused, 3);
}

TEST_F(OpenOnAllRanks, WhatTheFirstRankCannotOpenIsToldOnAll) {
  std::atomic<int> refused = 0;
  run_gloo_ranks(3, [&](const std::shared_ptr<const ssl::Group>& group) {
    try {
      open_on_all_ranks(group->rank() == 0 ? places[0] / "nowhere" : places[1].path(), Split::kTrain, *group, 60);
    } catch (const UsageError& error) {
      refused += std::string(error.what()).find("there is no folder") == 0;
    }
  });
  EXPECT_EQ(refused, 3);
}

TEST_F(OpenOnAllRanks, ARankWhoseDiskIsSlowIsWaitedFor) {
  using namespace std::literals;
  places[0].write("idx/train-images-idx3-ubyte", "\0\0\10\3\0\0\0\1\0\0\0\1\0\0\0\1x"s);
  std::filesystem::copy(places[0] / "idx", places[1] / "idx");
  const inject::Faults faults(
      {{.call = "open", .path = places[1] / "idx/train", .count = 1, .delay_milliseconds = 3500}});
  std::atomic<int> opened = 0;
  const int timeout = 2;
  run_gloo_ranks(
      2,
      [&](const std::shared_ptr<const ssl::Group>& group) {
        const auto place = places[static_cast<std::size_t>(group->rank())] / "idx";
        opened += open_on_all_ranks(place, Split::kTrain, *group, timeout)->size() == 1;
      },
      timeout);
  EXPECT_EQ(opened, 2);
  EXPECT_EQ(faults.injected(), 1);
}

TEST_F(OpenOnAllRanks, FilesThatAreReadWholeAreOpenedByEachRankAndCompared) {
  using namespace std::literals;
  for (std::size_t rank = 0; rank < 3; ++rank) {
    auto one_pixel = "\0\0\10\3\0\0\0\1\0\0\0\1\0\0\0\1"s;
    one_pixel.push_back(static_cast<char>(rank));
    places[rank].write("idx/train-images-idx3-ubyte", one_pixel);
  }
  std::atomic<int> refused = 0, opened = 0;
  run_gloo_ranks(3, [&](const std::shared_ptr<const ssl::Group>& group) {
    opened += open_on_all_ranks(places[0] / "idx", Split::kTrain, *group, 60)->size() == 1;
    try {
      // As many images of the same names on each, with other pixels.
      open_on_all_ranks(places[static_cast<std::size_t>(group->rank())] / "idx", Split::kTrain, *group, 60);
    } catch (const MismatchError& error) {
      refused += std::string(error.what()).find("rank 1 has other images than rank 0: fingerprint ") == 0;
    }
  });
  EXPECT_EQ(opened, 3);
  EXPECT_EQ(refused, 3);
}

}  // namespace
}  // namespace unlabel::launch
