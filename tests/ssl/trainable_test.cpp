#include <unlabel/ssl/optim/optimizer.h>
#include <unlabel/ssl/trainable.h>
#include <unlabel/ssl/weights/weights.h>

#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

namespace unlabel::ssl {
namespace {

struct Student : Trainable {
  Student() { layer = register_module("layer", torch::nn::Linear(3, 2)); }
  std::vector<std::shared_ptr<torch::nn::Module>> frozen_modules() override { return {teacher}; }

  torch::nn::Linear layer{nullptr};
  std::shared_ptr<torch::nn::BatchNorm1dImpl> teacher = std::make_shared<torch::nn::BatchNorm1dImpl>(4);
};

TEST(Trainable, FrozenModulesAreNoPartOfItsState) {
  Student student;
  for (const auto& [name, tensor] : state_of(student)) EXPECT_TRUE(name.starts_with("layer.")) << name;
  ASSERT_EQ(student.parameter_groups().size(), 1u);
  EXPECT_EQ(student.parameter_groups()[0].names, (std::vector<std::string>{"layer.weight", "layer.bias"}));
  EXPECT_NO_THROW(check_parameter_groups(student, student.parameter_groups()));
}

TEST(Trainable, FrozenModulesAreKnownByTheirWeights) {
  EXPECT_EQ(frozen_checksum({}), 0u);
  Student one, two;
  const auto sum = frozen_checksum(one.frozen_modules());
  EXPECT_NE(sum, 0u);
  EXPECT_EQ(frozen_checksum(two.frozen_modules()), sum);
  EXPECT_NE(frozen_checksum({one.teacher, two.teacher}), sum);
  const torch::NoGradGuard no_grad;
  two.teacher->weight[3] = 0.5;
  EXPECT_NE(frozen_checksum(two.frozen_modules()), sum) << "another parameter";
  two.teacher->weight[3] = 1;
  EXPECT_EQ(frozen_checksum(two.frozen_modules()), sum);
  two.teacher->running_mean[0] = 1e-30;
  EXPECT_NE(frozen_checksum(two.frozen_modules()), sum) << "another buffer";
  EXPECT_NE(frozen_checksum({std::make_shared<torch::nn::BatchNorm1dImpl>(5)}), sum) << "another shape";
}

}  // namespace
}  // namespace unlabel::ssl
