#pragma once

#include <string>
#include <vector>

namespace unlabel::launch {

/// The subcommands of `unlabel`, one file each (command_NAME.cpp). They take the arguments after their name, print to
/// stdout and stderr, and return the exit code; they throw Error for what a user can correct.
int command_pretrain(const std::vector<std::string>& arguments);
int command_knn(const std::vector<std::string>& arguments);
int command_linear(const std::vector<std::string>& arguments);
int command_embed(const std::vector<std::string>& arguments);
int command_info(const std::vector<std::string>& arguments);
int command_check(const std::vector<std::string>& arguments);
int command_augment(const std::vector<std::string>& arguments);
int command_pack(const std::vector<std::string>& arguments);

}  // namespace unlabel::launch
