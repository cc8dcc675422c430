#include <gtest/gtest.h>
#include <torch/torch.h>
TEST(Smokessl, Links) { EXPECT_EQ(torch::ones({2}).sum().item<float>(), 2); }
