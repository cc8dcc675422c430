#include <unlabel/data/collate.h>
#include <gtest/gtest.h>
#include <torch/torch.h>
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
