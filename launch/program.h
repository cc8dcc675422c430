#pragma once

#include <unlabel/data/formats.h>
#include <unlabel/eval/protocol.h>
#include <unlabel/ssl/methods.h>
#include <unlabel/ssl/models/encoder.h>

#include <functional>
#include <string>
#include <vector>

namespace unlabel::launch {

/// A subcommand of the program.
struct Command {
  std::string name;
  std::string argument;  ///< shown after the name: "DATA"
  std::string summary;   ///< for the list of commands
  /// Takes the arguments after the name, and returns the exit code.
  std::function<int(const std::vector<std::string>&)> run;
};

/// What a program adds to the library's lists; docs/extending.md shows each kind.
struct Extensions {
  std::vector<ssl::MethodSpec> methods{};
  std::vector<ssl::EncoderSpec> encoders{};
  std::vector<data::Format> formats{};
  std::vector<eval::ProtocolSpec> protocols{};
  std::vector<Command> commands{};
};

/// The program `unlabel`: takes main's arguments, runs the command that they name, prints an error as one line on stderr, and returns the
/// exit code.
int program(int count, const char* const* values, Extensions extensions = {});

}  // namespace unlabel::launch
