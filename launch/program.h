#pragma once

#include <unlabel/data/formats.h>
#include <unlabel/ssl/methods.h>
#include <unlabel/ssl/models/encoder.h>

#include <vector>

namespace unlabel::launch {

/// What a program has beside the library; docs/new_method.md shows it for a method.
struct Extensions {
  std::vector<ssl::MethodSpec> methods{};
  std::vector<ssl::EncoderSpec> encoders{};
  std::vector<data::Format> formats{};
};

/// The program `unlabel`, whole: takes main's arguments, runs the command that they name, says in one line on stderr what went wrong, and
/// returns the exit code.
int program(int count, const char* const* values, Extensions extensions = {});

}  // namespace unlabel::launch
