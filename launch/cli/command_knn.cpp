#include <unlabel/launch/cli/commands.h>
#include <unlabel/launch/cli/eval_common.h>

namespace unlabel::launch {

int command_knn(const std::vector<std::string>& arguments) {
  return measure(
      "knn",
      "Accuracy of a weighted vote of nearest neighbors on frozen features. It differs between protocols by\n"
      "many points: compare only what was measured by the same one.",
      "  unlabel knn --checkpoint runs/first --data ~/photos\n"
      "  unlabel knn --untrained --encoder.arch resnet18 --data cifar10:~/cifar --json -",
      arguments);
}

}  // namespace unlabel::launch
