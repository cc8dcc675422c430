#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <utility>
#include <vector>

namespace unlabel::ssl {

/// Puts a module into eval mode for the lifetime of this object. The destructor restores the previous mode of each submodule.
class EvalModeGuard {
 public:
  explicit EvalModeGuard(torch::nn::Module& module);
  ~EvalModeGuard();
  EvalModeGuard(const EvalModeGuard&) = delete;
  EvalModeGuard& operator=(const EvalModeGuard&) = delete;

 private:
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> was_training_;
  torch::nn::Module& module_;
  bool module_was_training_;
};

}  // namespace unlabel::ssl
