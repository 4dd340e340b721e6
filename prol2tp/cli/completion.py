"""Completion of a tool's commands in bash and zsh: scripts that walk through the tool's grammar by themselves, and ask
the tool only for what its daemon knows, ids and names."""

from __future__ import annotations

from collections.abc import Callable

from prol2tp.cli.grammar import Grammar, Step
from prol2tp.cli.program import OPTIONS

SHELLS = ("bash", "zsh")

_BASH = r"""# bash completion of @TOOL@(1), as `@TOOL@ completion bash` prints it
_@TOOL@()
{
    # of each state: the words that may follow, and the state that each leads to
    local -a steps=(
@STEPS@
    )
    # where anything may follow, and the state that it leads to
    local -A argument=(@ARGUMENT@)
    # where the daemon knows what may follow, and where it is a file
    local known=' @KNOWN@ ' files=' @FILES@ '
    local -a words=() said=() options=() found candidates=()
    local line=$COMP_LINE word step current prefix i state=0
    COMPREPLY=()
    # readline breaks words at colons
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i)) && [[ $line != [[:space:]]* ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
        line=${line#"${line%%[![:space:]]*}"}
        line=${line#"$word"}
    done
    current=${words[-1]}
    if ((${#words[@]} < 2)); then
        return
    elif [[ ${words[-2]} == @VALUED@ ]]; then
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        compopt -o filenames 2> /dev/null
        return
    fi
    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        word=${words[i]}
        case $word in
            @VALUED@) options+=("$word" "${words[++i]}"); continue ;;
            @VALUED_IN_ONE@) options+=("$word"); continue ;;
            @SWITCHES@) continue ;;
        esac
        said+=("$word")
        found=()
        for step in ${steps[state]}; do
            if [[ ${step%=*} == "$word" ]]; then
                found=("${step##*=}")
                break
            elif [[ ${step%=*} == "$word"* ]]; then
                found+=("${step##*=}")
            fi
        done
        if ((${#found[@]} == 0)) && [[ -n ${argument[$state]} ]]; then
            found=("${argument[$state]}")
        fi
        ((${#found[@]} == 1)) || return
        state=${found[0]}
    done
    if [[ $known == *" $state "* ]]; then
        mapfile -t candidates < <(@TOOL@ "${options[@]}" complete -- "${said[@]}" "$current" 2> /dev/null)
    fi
    for step in ${steps[state]}; do
        candidates+=("${step%=*}")
    done
    if [[ $current == -* ]]; then
        candidates+=(@OPTIONS@)
    fi
    for word in "${candidates[@]}"; do
        if [[ $word == "$current"* && " ${COMPREPLY[*]} " != *" $word "* ]]; then
            COMPREPLY+=("$word")
        fi
    done
    if [[ $files == *" $state "* ]]; then
        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$current")
        compopt -o filenames 2> /dev/null
        return
    fi
    if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
        prefix=${current%"${current##*:}"}
        COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
    fi
    for i in "${!COMPREPLY[@]}"; do
        printf -v "COMPREPLY[$i]" %q "${COMPREPLY[i]}"
    done
}
complete -F _@TOOL@ @TOOL@
"""

_ZSH = r"""#compdef @TOOL@
# zsh completion of @TOOL@(1), as `@TOOL@ completion zsh` prints it
_@TOOL@() {
    emulate -L zsh
    # of each state: the words that may follow, and the state that each leads to
    local -a steps=(
@STEPS@
    )
    # where anything may follow, the state that it leads to, and what it is
    local -A argument=(@ARGUMENT@)
    local -A hints=(
@HINTS@
    )
    # where the daemon knows what may follow, and where it is a file
    local known=' @KNOWN@ ' files=' @FILES@ '
    local -a said options found candidates
    local word step i state=0
    if [[ $words[CURRENT-1] == @VALUED@ ]]; then
        _directories
        return
    fi
    for ((i = 2; i < CURRENT; i++)); do
        word=${(Q)words[i]}
        case $word in
            @VALUED@) options+=("$word" "${(Q)words[++i]}"); continue ;;
            @VALUED_IN_ONE@) options+=("$word"); continue ;;
            @SWITCHES@) continue ;;
        esac
        said+=("$word")
        found=()
        for step in ${=steps[state+1]}; do
            if [[ ${step%=*} == "$word" ]]; then
                found=("${step##*=}")
                break
            elif [[ ${step%=*} == "$word"* ]]; then
                found+=("${step##*=}")
            fi
        done
        if (($#found == 0)) && [[ -n $argument[$state] ]]; then
            found=("$argument[$state]")
        fi
        (($#found == 1)) || return 1
        state=$found[1]
    done
    if [[ $known == *" $state "* ]]; then
        candidates=("${(@f)$(@TOOL@ "$options[@]" complete -- "$said[@]" "$PREFIX" 2> /dev/null)}")
    fi
    for step in ${=steps[state+1]}; do
        candidates+=("${step%=*}")
    done
    if [[ $PREFIX == -* ]]; then
        candidates+=(@OPTIONS@)
    fi
    candidates=(${(u)candidates:#})
    if [[ $files == *" $state "* ]]; then
        _files
    elif (($#candidates)); then
        compadd -- "$candidates[@]"
    elif [[ -n $hints[$state] ]]; then
        _message "$hints[$state]"
    else
        return 1
    fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _@TOOL@ "$@"
else
    compdef _@TOOL@ @TOOL@
fi
"""


def script(shell: str, tool: str, grammar: Grammar) -> str:
    """The script of one of `SHELLS`."""
    steps = grammar.automaton()
    bash = shell == "bash"
    arguments = [(number, step.argument) for number, step in enumerate(steps) if step.argument is not None]
    hints = [(number, ", or ".join(grammar.words[name].help for name in step.arguments))
             for number, step in enumerate(steps) if step.argument is not None]
    valued = [option.name for option in OPTIONS if option.value]
    parts = {
        "STEPS": "\n".join(f"        {_quoted(' '.join(f'{word}={to}' for word, to in step.keywords.items()))}"
                           for step in steps),
        "ARGUMENT": " ".join(f"[{number}]={to}" if bash else f"{number} {to}" for number, to in arguments),
        "HINTS": "\n".join(f"        {number} {_quoted(hint)}" for number, hint in hints),
        "KNOWN": _states(grammar, steps, lambda values: values == "daemon"),
        "FILES": _states(grammar, steps, lambda values: values == "file"),
        "VALUED": "|".join(valued),
        "VALUED_IN_ONE": "|".join(f"{name}=*" for name in valued),
        "SWITCHES": "|".join(option.name for option in OPTIONS if not option.value),
        "OPTIONS": " ".join(option.name for option in OPTIONS),
        "TOOL": tool,
    }
    text = _BASH if bash else _ZSH
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text


def _states(grammar: Grammar, steps: list[Step], wanted: Callable[[str], bool]) -> str:
    return " ".join(str(number) for number, step in enumerate(steps)
                    if any(wanted(grammar.words[name].values) for name in step.arguments))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
