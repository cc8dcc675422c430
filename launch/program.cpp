#include <unlabel/augment/error.h>
#include <unlabel/augment/exception_text.h>
#include <unlabel/augment/options.h>
#include <unlabel/eval/protocols.h>
#include <unlabel/launch/cli/commands.h>
#include <unlabel/launch/cli/eval_common.h>
#include <unlabel/launch/distributed/main_setup.h>
#include <unlabel/launch/distributed/process.h>
#include <unlabel/launch/pretrain/pretrain_options.h>
#include <unlabel/launch/program.h>
#include <unlabel/launch/run/command_output.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <utility>

namespace unlabel::launch {

namespace {

/// All subcommands, in the order of the help text.
std::vector<Command>& commands() {
  static std::vector<Command> all{
      {"pretrain", "METHOD", "learn an encoder from a folder of images; pretrain --help names the methods",
       command_pretrain},
      {"knn", "", "accuracy of nearest neighbors on an encoder's features", command_knn},
      {"linear", "", "accuracy of a linear classifier on an encoder's features", command_linear},
      {"embed", "", "write an encoder's features to a file", command_embed},
      {"info", "", "what a run, a checkpoint or a file of weights holds", command_info},
      {"check", "DATA", "which files of a data set cannot be used, and why", command_check},
      {"augment", "", "show the views of an image, and measure how fast they are made", command_augment},
      {"pack", "DATA", "write a data set as tar archives, for fast reading from shared disks", command_pack}};
  return all;
}

std::string usage() {
  std::string text =
      "usage: unlabel COMMAND [options]\n"
      "\n"
      "Learns representations of images without labels, and measures them.\n"
      "\n";
  constexpr std::size_t kSummaryColumn = 19;
  for (const auto& command : commands()) {
    auto line = concat("  ", command.name, command.argument.empty() ? "" : " ", command.argument, " ");
    line.resize(std::max(line.size(), kSummaryColumn), ' ');
    text += concat(line, command.summary, "\n");
  }
  return text +
         "\n"
         "Each takes --help. Exit codes: 0 done; 2 wrong options or arguments; 75 stopped by a signal, with a "
         "checkpoint saved;\n93 a restart would fail, too; 1 any other error.\n";
}

/// Throws UsageError for the `name` of a section of options that `taken` has already.
void require_free(const OptionTable& taken, const char* kind, const std::string& name) {
  for (const auto& field : taken.fields())
    if (field.name.substr(0, field.name.find('.')) == name)
      throw UsageError("a ", kind, " cannot be called '", name, "': there are options of that name");
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    std::fputs(usage().c_str(), stderr);
    return 2;
  }
  const std::string& name = arguments.front();
  const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (name == "help" && !rest.empty()) return run({rest.front(), "--help"});
  if (name == "--help" || name == "-h" || name == "help") {
    std::fputs(usage().c_str(), stdout);
    return 0;
  }
  if (name == "--version" || name == "version") {
    std::puts(version_text().c_str());
    return 0;
  }
  std::vector<std::string> names;
  for (const auto& command : commands()) {
    if (command.name == name) return command.run(rest);
    names.push_back(command.name);
  }
  throw UsageError("no command '", name, "'", did_you_mean(name, names), "; see unlabel --help");
}

}  // namespace

int program(int count, const char* const* values, Extensions extensions) {
  prepare_process();
  quiet_libraries();
  std::vector<std::string> arguments;
  for (int i = 1; i < count; ++i) arguments.emplace_back(values[i]);
  const auto name = count > 0 ? std::filesystem::path(values[0]).filename().string() : "unlabel";
  const auto fail = [&](const char* message, int code) {
    std::fprintf(stderr, "%s: %s\n", printable(name).c_str(), printable(message).c_str());
    return code;
  };
  try {
    for (auto& format : extensions.formats) data::add_format(std::move(format));
    for (auto& encoder : extensions.encoders) ssl::add_encoder(std::move(encoder));
    for (auto& method : extensions.methods) {
      PretrainOptions options;
      require_free(table(options), "method", method.name);
      ssl::add_method(std::move(method));
    }
    for (auto& protocol : extensions.protocols) {
      EvaluationOptions options;
      require_free(table(options), "protocol's section", protocol.section);
      eval::add_protocol(std::move(protocol));
    }
    for (auto& command : extensions.commands) {
      if (std::ranges::find(commands(), command.name, &Command::name) != commands().end())
        throw UsageError("there is a command '", command.name, "' already");
      commands().push_back(std::move(command));
    }
    const int code = run(arguments);
    const auto unwritten = unwritten_output();
    return unwritten.empty() ? code : fail(unwritten.c_str(), code == 0 ? 1 : code);
  } catch (const MismatchError& error) {
    return fail(error.what(), 93);
  } catch (const UsageError& error) {
    return fail(error.what(), 2);
  } catch (const std::exception& error) {
    return fail(exception_text(error).c_str(), 1);
  }
}

}  // namespace unlabel::launch
