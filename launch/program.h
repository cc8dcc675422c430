#pragma once

#include <unlabel/ssl/methods.h>

#include <vector>

namespace unlabel::launch {

/// The program `unlabel`, whole: takes main's arguments, runs the command that they name, says in one line on stderr what went wrong, and
/// returns the exit code. With `methods` of one's own beside those of the library: docs/new_method.md.
int program(int count, const char* const* values, std::vector<ssl::MethodSpec> methods = {});

}  // namespace unlabel::launch
