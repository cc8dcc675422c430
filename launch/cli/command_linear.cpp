#include <unlabel/launch/cli/commands.h>
#include <unlabel/launch/cli/eval_common.h>

namespace unlabel::launch {

int command_linear(const std::vector<std::string>& arguments) {
  return measure("linear", "Accuracy of a linear classifier on a frozen encoder.",
                 "  unlabel linear --checkpoint runs/first --data ~/photos\n"
                 "  unlabel linear --checkpoint runs/first --data ~/photos --protocol swav --swav.epochs 30",
                 arguments);
}

}  // namespace unlabel::launch
