#include <unlabel/data/collate.h>

#include <gtest/gtest.h>
#include <torch/types.h>

TEST(Collate, SharesMemory) {
  unlabel::data::HostBatch batch;
  batch.indices = {4, 2};
  batch.labels = {1, 0};
  batch.shapes = {{1, 2, 2}};
  batch.views = {std::shared_ptr<float[]>(new float[8]{0, 1, 2, 3, 4, 5, 6, 7})};
  auto views = unlabel::data::collate_views(batch);
  ASSERT_EQ(views.size(), 1u);
  batch.views[0][3] = 42;
  EXPECT_EQ(views[0][0][0][1][1].item<float>(), 42);
  batch.views.clear();
  EXPECT_EQ(views[0][1][0][1][1].item<float>(), 7);
}

TEST(Collate, KeepsEachViewsShapeLabelsAndIndices) {
  unlabel::data::HostBatch batch;
  batch.indices = {std::int64_t{1} << 40, 2, 5};
  batch.labels = {1, -1, 0};
  batch.shapes = {{3, 4, 2}, {1, 1, 5}};
  for (const auto& shape : batch.shapes) batch.views.push_back(std::shared_ptr<float[]>(new float[3 * shape.size()]()));
  const auto views = unlabel::data::collate_views(batch);
  ASSERT_EQ(views.size(), 2u);
  EXPECT_EQ(views[0].sizes(), (std::vector<std::int64_t>{3, 3, 4, 2}));
  EXPECT_EQ(views[1].sizes(), (std::vector<std::int64_t>{3, 1, 1, 5}));
  EXPECT_EQ(views[1].scalar_type(), torch::kFloat32);
  const auto indices = unlabel::data::collate_indices(batch), labels = unlabel::data::collate_labels(batch);
  EXPECT_TRUE(
      torch::equal(indices, torch::tensor({std::int64_t{1} << 40, std::int64_t{2}, std::int64_t{5}}, torch::kInt64)));
  EXPECT_TRUE(torch::equal(labels, torch::tensor({1, -1, 0}, torch::kInt64)));
}
