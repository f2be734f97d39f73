#include "cli/session.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_completion {
constexpr Argument arguments[] = {{"shell", Takes::required, "bash, zsh or fish", Offers::words, "bash zsh fish"}};

// Each adaptor hands the words to the hidden verb __complete, which knows the rest. Files are completed by the shell where that is silent.
constexpr std::string_view bash = R"(# vramctl completion bash > ~/.local/share/bash-completion/completions/vramctl
_vramctl() {
    local IFS=$'\n'
    COMPREPLY=($(vramctl __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _vramctl vramctl
)";
constexpr std::string_view zsh = R"(#compdef vramctl
# vramctl completion zsh > "${fpath[1]}/_vramctl"
_vramctl() {
    local -a candidates
    candidates=("${(@f)$(vramctl __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n ${candidates[1]} ]]; then compadd -a candidates; else _files; fi
}
if [[ $funcstack[1] == _vramctl ]]; then _vramctl "$@"; else compdef _vramctl vramctl; fi
)";
constexpr std::string_view fish = R"(# vramctl completion fish > ~/.config/fish/completions/vramctl.fish
function __vramctl
    set -l words (commandline -opc) (commandline -ct)
    vramctl __complete $words[2..-1] 2>/dev/null
end
complete -c vramctl -a '(__vramctl)'
)";

Told<void> run(Session& session, const Given& given) {
    const std::string shell = given.text("shell");
    session.out(shell == "bash" ? bash : shell == "zsh" ? zsh : fish);
    return {};
}
}  // namespace verb_completion

constexpr Verb completion_verb = {"completion",
                                  "A shell's completion script",
                                  "",
                                  verb_completion::arguments,
                                  verb_completion::run,
                                  Repeats::no,
                                  "source <(vramctl completion bash)",
                                  Shows::what_it_is};
}  // namespace vramd::cli
