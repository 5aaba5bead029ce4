// The command line of a program with verbs: one table says what exists, and
// parsing, errors and --help come from it.
//
//   kinectl [global flags] VERB [flags] [operands]
//
// Flags are --name=value or --name value, switches --name; global ones may
// stand before or after the verb, "--" ends the flags; - in a name is as _.
// Errors name the word that is wrong and what it should be, never the whole
// help.
//
// Values only; any thread.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kinectl {

struct Flag {
  const char* name;
  const char* value;  // What stands for the value in the help; null: a switch.
  const char* help;
};

class Args {
 public:
  // Asking for a flag that the verb's table does not have is our bug.
  bool Has(absl::string_view flag) const;
  // The value, or "".
  std::string Get(absl::string_view flag) const;
  const std::vector<std::string>& operands() const { return operands_; }

 private:
  friend absl::StatusOr<struct CommandLine> ParseCommandLine(
      std::span<const struct Verb> verbs, std::span<const Flag> globals,
      std::span<const char* const> words);
  std::map<std::string, std::string, std::less<>> flags_;
  std::vector<std::string> operands_;
};

class Session;

struct Verb {
  const char* name;
  // "ID", or "" for none; verbs with one need it. "WORD..." is one or more, and
  // the first of them ends the flags.
  const char* operand;
  const char* summary;
  std::span<const Flag> flags;
  // Returns the exit code. `args` has been checked against the table.
  int (*run)(Session& session, const Args& args);
};

struct CommandLine {
  const Verb* verb = nullptr;  // Null: only --help or --version was asked.
  Args args;
};

// `words` without the program's name. INVALID_ARGUMENT for the user's mistakes.
absl::StatusOr<CommandLine> ParseCommandLine(
    std::span<const Verb> verbs, std::span<const Flag> globals,
    std::span<const char* const> words);

std::string ProgramHelp(std::span<const Verb> verbs,
                        std::span<const Flag> globals);
std::string VerbHelp(const Verb& verb, std::span<const Flag> globals);

}  // namespace kinectl
