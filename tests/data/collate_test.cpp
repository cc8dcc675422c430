#include <unlabel/data/collate.h>

#include "refusal.h"
#include <gtest/gtest.h>
#include <torch/types.h>

namespace unlabel::data {
namespace {

HostArray array_of(ArraySpec spec, std::size_t samples) {
  const std::shared_ptr<std::uint8_t[]> memory(new std::uint8_t[samples * spec.bytes()]());
  return {std::move(spec), memory};
}

TEST(Collate, SharesMemory) {
  HostBatch batch;
  batch.indices = {4, 2};
  batch.arrays = {array_of({"view.0", ElementType::kFloat32, {1, 2, 2}}, 2)};
  auto* const numbers = batch.arrays[0].data<float>();
  for (int i = 0; i < 8; ++i) numbers[i] = static_cast<float>(i);
  const auto views = collate(batch).views();
  ASSERT_EQ(views.size(), 1u);
  numbers[3] = 42;
  EXPECT_EQ(views[0][0][0][1][1].item<float>(), 42);
  batch.arrays.clear();
  EXPECT_EQ(views[0][1][0][1][1].item<float>(), 7);
}

TEST(Collate, KeepsNamesTypesShapesAndIndices) {
  HostBatch batch;
  batch.indices = {std::int64_t{1} << 40, 2, 5};
  batch.arrays = {array_of({"view.0", ElementType::kFloat32, {3, 4, 2}}, 3),
                  array_of({"view.1", ElementType::kFloat32, {1, 1, 5}}, 3),
                  array_of({"token_ids", ElementType::kInt64, {7}}, 3), array_of({"mask", ElementType::kUInt8, {7}}, 3),
                  array_of({"length", ElementType::kInt64, {}}, 3)};
  batch.arrays[2].data<std::int64_t>()[8] = std::int64_t{1} << 50;
  const auto tensors = collate(batch);
  ASSERT_EQ(tensors.views().size(), 2u);
  EXPECT_EQ(tensors["view.0"].sizes(), (std::vector<std::int64_t>{3, 3, 4, 2}));
  EXPECT_EQ(tensors["view.1"].sizes(), (std::vector<std::int64_t>{3, 1, 1, 5}));
  EXPECT_EQ(tensors["view.1"].scalar_type(), torch::kFloat32);
  EXPECT_EQ(tensors["token_ids"].sizes(), (std::vector<std::int64_t>{3, 7}));
  EXPECT_EQ(tensors["token_ids"][1][1].item<std::int64_t>(), std::int64_t{1} << 50);
  EXPECT_EQ(tensors["mask"].scalar_type(), torch::kUInt8);
  EXPECT_EQ(tensors["length"].sizes(), (std::vector<std::int64_t>{3}));
  EXPECT_TRUE(torch::equal(tensors.indices,
                           torch::tensor({std::int64_t{1} << 40, std::int64_t{2}, std::int64_t{5}}, torch::kInt64)));
  EXPECT_EQ(unlabel::refusal<Error>([&] { tensors["views"]; }),
            "a batch has no tensor 'views'; it has view.0, view.1, token_ids, mask, length");
}

}  // namespace
}  // namespace unlabel::data
