// kinectl completion bash: what the shell completes, from the table of verbs.
#include <algorithm>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "daemon/base/log.h"
#include "tools/kinectl/verbs.h"

namespace kinectl {
namespace {

// What words[0 .. COMP_CWORD) is about decides; a value behind `=` is left to
// the shell, which knows files. An id is asked of the daemon that the line
// names.
constexpr absl::string_view kScript = R"bash(# eval "$(kinectl completion bash)"
_kinectl() {
  local word verb= flag= words= ids=
  local -a daemon=()
  COMPREPLY=()
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
      --socket | --owner) flag=$word ;;
      =) ;;
      VERBS) [[ -n $verb || -n $flag ]] || verb=$word ;;&
      *) [[ -z $flag ]] || daemon+=("$flag=$word"); flag= ;;
    esac
  done
  local current=${COMP_WORDS[COMP_CWORD]}
  [[ $current != = && ${COMP_WORDS[COMP_CWORD-1]} != = ]] || return
  case $verb in
CASES  esac
  if [[ $current != -* && -n $ids ]]; then
    words=$(kinectl "${daemon[@]}" $ids 2>/dev/null | awk 'NR > 1 {print $1}')
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace
}
complete -o default -F _kinectl kinectl
)bash";

std::string FlagWords(std::span<const Flag> flags) {
  return absl::StrJoin(flags, " ", [](std::string* out, const Flag& flag) {
    absl::StrAppend(out, "--", flag.name, flag.value == nullptr ? "" : "=");
  });
}

// The verb that lists what `verb` takes; "" when it takes no id.
absl::string_view ListerOf(const Verb& verb) {
  constexpr absl::string_view kOfCommands[] = {"logs", "kill", "wait"};
  if (absl::string_view(verb.operand).substr(0, 2) != "ID") return "";
  return std::ranges::count(kOfCommands, verb.name) != 0 ? "ps" : "list";
}

std::string BashScript() {
  const auto name = [](std::string* out, const Verb& verb) {
    absl::StrAppend(out, verb.name);
  };
  const std::string globals = FlagWords(GlobalFlags());
  std::string cases =
      absl::StrCat("    '') words='", absl::StrJoin(AllVerbs(), " ", name), " ",
                   globals, "' ;;\n");
  for (const Verb& verb : AllVerbs()) {
    absl::StrAppend(&cases, "    ", verb.name, ") words='",
                    FlagWords(verb.flags), " ", globals, "'");
    if (const absl::string_view lister = ListerOf(verb); !lister.empty())
      absl::StrAppend(&cases, " ids=", lister);
    absl::StrAppend(&cases, " ;;\n");
  }
  return absl::StrReplaceAll(
      kScript,
      {{"VERBS", absl::StrJoin(AllVerbs(), " | ", name)}, {"CASES", cases}});
}

}  // namespace

int RunCompletion(Session& session, const Args& args) {
  const std::string& shell = args.operands()[0];
  if (shell != "bash")
    return session.Fail(
        absl::InvalidArgumentError(absl::StrCat(
            "SHELL: ", kine::Quoted(shell), " is not known; there is bash")),
        kUsage);
  std::fputs(BashScript().c_str(), stdout);
  return kDone;
}

}  // namespace kinectl
