#pragma once

namespace unlabel::launch {

/// The program `unlabel`, whole: takes main's arguments, runs the command that they name, says in one line on stderr what went wrong, and
/// returns the exit code. A program that adds a method first (ssl::add_method) is `unlabel` with that method.
int program(int count, const char* const* values);

}  // namespace unlabel::launch
