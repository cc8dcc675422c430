#pragma once

#include <unlabel/eval/protocol.h>

#include <string>
#include <vector>

namespace unlabel::eval {

/// All protocols; the first one of a command is its default.
const std::vector<ProtocolSpec>& protocols();

/// Adds a program's own protocol to a command, to be called before anything else, as launch::program does. Throws UsageError for a name
/// that is taken or is not of lower-case letters, digits and underscores, for an unknown command, and without exactly one way to run.
void add_protocol(ProtocolSpec protocol);

/// Throws UsageError for a name that the command's protocols do not have, naming the nearest and all there are.
const ProtocolSpec& find_protocol(const std::string& command, const std::string& name);

/// Of a command: "dino, instdisc, lightly".
std::string protocol_list(const std::string& command);

/// Of a command, for a help text: "\n  NAME  description" for each.
std::string protocol_help(const std::string& command);

}  // namespace unlabel::eval
