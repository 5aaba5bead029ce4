#include "tools/kinectl/args.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"

namespace kinectl {
namespace {

const Flag* FindFlag(std::span<const Flag> flags, absl::string_view name) {
  const auto it =
      std::find_if(flags.begin(), flags.end(),
                   [name](const Flag& flag) { return name == flag.name; });
  return it == flags.end() ? nullptr : &*it;
}

std::string FlagNames(std::span<const Flag> flags) {
  return absl::StrJoin(flags, ", ", [](std::string* out, const Flag& flag) {
    absl::StrAppend(out, "--", flag.name);
  });
}

void AppendFlags(std::string& out, std::span<const Flag> flags) {
  for (const Flag& flag : flags) {
    const std::string name =
        flag.value == nullptr ? absl::StrCat("--", flag.name)
                              : absl::StrCat("--", flag.name, "=", flag.value);
    absl::StrAppendFormat(&out, "  %-28s %s\n", name, flag.help);
  }
}

absl::Status UnknownVerb(absl::string_view word, std::span<const Verb> verbs) {
  return absl::InvalidArgumentError(absl::StrCat(
      kine::Quoted(word), " is no command; there are ",
      absl::StrJoin(verbs, ", ", [](std::string* out, const Verb& verb) {
        absl::StrAppend(out, verb.name);
      })));
}

absl::Status UnknownFlag(absl::string_view word, const Verb* verb,
                         std::span<const Flag> globals) {
  std::string known = FlagNames(globals);
  if (verb != nullptr && !verb->flags.empty())
    known = absl::StrCat(FlagNames(verb->flags), ", ", known);
  return absl::InvalidArgumentError(absl::StrCat(
      verb == nullptr ? "kinectl" : verb->name, " has no flag ",
      kine::Quoted(word), verb == nullptr ? " before the command" : "",
      "; it has ", known));
}

bool TakesMany(const Verb& verb) { return absl::EndsWith(verb.operand, "..."); }

absl::Status CheckOperands(const Verb& verb,
                           const std::vector<std::string>& operands) {
  const size_t wanted = *verb.operand == '\0' ? 0 : 1;
  if (operands.size() < wanted) {
    return absl::InvalidArgumentError(
        absl::StrCat(verb.name, " needs its ", verb.operand, ": kinectl ",
                     verb.name, " ", verb.operand));
  }
  if (operands.size() > wanted && !TakesMany(verb)) {
    return absl::InvalidArgumentError(absl::StrCat(
        verb.name, " takes ", wanted == 0 ? "no operand" : "one operand", "; ",
        kine::Quoted(operands[wanted]), " is one too many"));
  }
  return absl::OkStatus();
}

}  // namespace

bool Args::Has(absl::string_view flag) const {
  return flags_.find(flag) != flags_.end();
}

std::string Args::Get(absl::string_view flag) const {
  const auto it = flags_.find(flag);
  return it == flags_.end() ? "" : it->second;
}

absl::StatusOr<CommandLine> ParseCommandLine(
    std::span<const Verb> verbs, std::span<const Flag> globals,
    std::span<const char* const> words) {
  CommandLine line;
  bool flags_over = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const absl::string_view word = words[i];
    if (flags_over || word == "-" || !absl::StartsWith(word, "-")) {
      if (line.verb != nullptr) {
        line.args.operands_.emplace_back(word);
        if (TakesMany(*line.verb)) flags_over = true;
        continue;
      }
      const auto verb =
          std::find_if(verbs.begin(), verbs.end(),
                       [word](const Verb& v) { return word == v.name; });
      if (verb == verbs.end()) return UnknownVerb(word, verbs);
      line.verb = &*verb;
      continue;
    }
    if (word == "--") {
      flags_over = true;
      continue;
    }
    const size_t equals = word.find('=');
    const bool is_short = word == "-h" || word == "-f";
    // --self-test is --self_test.
    const std::string name =
        word == "-h" ? "help"
        : word == "-f"
            ? "follow"
            : absl::StrReplaceAll(word.substr(0, equals).substr(
                                      std::min<size_t>(2, word.size())),
                                  {{"-", "_"}});
    const Flag* flag = !absl::StartsWith(word, "--") && !is_short
                           ? nullptr
                           : FindFlag(globals, name);
    if (flag == nullptr && line.verb != nullptr &&
        (absl::StartsWith(word, "--") || is_short))
      flag = FindFlag(line.verb->flags, name);
    if (flag == nullptr)
      return UnknownFlag(word.substr(0, equals), line.verb, globals);
    std::string value;
    if (flag->value == nullptr) {
      if (equals != absl::string_view::npos) {
        return absl::InvalidArgumentError(
            absl::StrCat("--", flag->name, " is a switch and takes no value"));
      }
    } else if (equals != absl::string_view::npos) {
      value = std::string(word.substr(equals + 1));
    } else if (++i < words.size()) {
      value = words[i];
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag->name, " needs a value: --", flag->name, "=",
                       flag->value));
    }
    if (!line.args.flags_.emplace(flag->name, std::move(value)).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag->name, " is given twice"));
    }
  }
  if (line.args.Has("help")) return line;
  if (line.verb == nullptr) {
    if (line.args.Has("version")) return line;
    return absl::InvalidArgumentError(
        "no command given; `kinectl --help` lists them");
  }
  KINE_RETURN_IF_ERROR(CheckOperands(*line.verb, line.args.operands_));
  return line;
}

std::string ProgramHelp(std::span<const Verb> verbs,
                        std::span<const Flag> globals) {
  std::string out =
      "Usage: kinectl COMMAND [flags]\n\nRecords the desktop and runs commands "
      "through the kinescope daemon.\n\nCommands:\n";
  for (const Verb& verb : verbs) {
    absl::StrAppendFormat(
        &out, "  %-12s %s\n",
        absl::StrCat(verb.name, *verb.operand ? " " : "", verb.operand),
        verb.summary);
  }
  absl::StrAppend(&out, "\nFlags of every command:\n");
  AppendFlags(out, globals);
  absl::StrAppend(
      &out,
      "\nExit codes: 0 done; 1 failed; 2 wrong command line; 3 the "
      "daemon cannot be\nreached; 4 no such recording or command; 5 the "
      "recording failed, was interrupted or cut short;\n130 "
      "cancelled. `run` and `wait` exit as the command did, 128 "
      "+ N for signal N.\n");
  return out;
}

std::string VerbHelp(const Verb& verb, std::span<const Flag> globals) {
  std::string out = absl::StrCat(
      "Usage: kinectl ", verb.name, *verb.operand ? " " : "", verb.operand,
      verb.flags.empty() ? "" : " [flags]", "\n\n", verb.summary, ".\n");
  if (!verb.flags.empty()) {
    absl::StrAppend(&out, "\nFlags:\n");
    AppendFlags(out, verb.flags);
  }
  absl::StrAppend(&out, "\nFlags of every command:\n");
  AppendFlags(out, globals);
  return out;
}

}  // namespace kinectl
