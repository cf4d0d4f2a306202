import { leafKeys } from "../config/key-tree.ts"
import {
  type CommandName,
  commandNames,
  commands,
  type Flag,
  flagsOf,
  operandsOf,
  type Shell,
  valuedFlags,
} from "./commands.ts"

const everyCommand: readonly CommandName[] = ["run", ...commandNames]

const offer = (pattern: string, words: readonly string[]): string => `    ${pattern}) offered='${words.join(" ")}' ;;`

/** Lines of the `case` that offers values of flags; none for a flag that takes any text. */
const valueLines = (name: CommandName): readonly string[] =>
  flagsOf(name).flatMap(([flag, { from }]: readonly [string, Flag]) => {
    const pattern = `${name}:--${flag}`
    if (from === undefined) return []
    if (from === "file") return [`    ${pattern}) files=yes ;;`]
    return from === "setting" ? [`    ${pattern}) setting=yes ;;`] : [offer(pattern, from)]
  })

const flagLine = (name: CommandName): string =>
  offer(
    name,
    flagsOf(name).map(([flag]) => `--${flag}`),
  )

const bashOperandLines = (name: CommandName): readonly string[] =>
  operandsOf(name).map((words, index) => {
    return words === "file" ? `    ${name}:*) files=yes ;;` : offer(`${name}:${index}`, words)
  })

const bashChoiceLines = [...leafKeys].flatMap(([key, { choices }]) =>
  choices.length === 0
    ? []
    : [
        offer(
          `${key}=*`,
          choices.map((choice) => `${key}=${choice}`),
        ),
      ],
)

/** The completion script for bash 3.2 and newer. It does not need the package bash-completion. */
export const bashScript = (): string => `# bash completion of reflow: source <(reflow completion bash)

# sets offered, files or setting: the possible values of the flag $2 of the command $1
_reflow_value() {
  case "$1:$2" in
${everyCommand.flatMap(valueLines).join("\n")}
  esac
}

# the same for the operand number $2, counted from 0, of the command $1
_reflow_operand() {
  case "$1:$2" in
    run:*) offered='${commandNames.join(" ")}' ;;
${everyCommand.flatMap(bashOperandLines).join("\n")}
  esac
}

_reflow_flags() {
  case $1 in
${everyCommand.map(flagLine).join("\n")}
  esac
}

# sets offered: the possible values of --set when $1 is typed so far
_reflow_setting() {
  case $1 in
${bashChoiceLines.join("\n")}
    *=*) ;;
    *)
      offered='${[...leafKeys.keys()].map((key) => `${key}=`).join(" ")}'
      compopt -o nospace 2>/dev/null
      ;;
  esac
}

_reflow() {
  local IFS=$' \\t\\n' words word flag='' command=run operands=0 offered='' files='' setting=''
  local typed value lead='' cut='' i last
  # bash splits words at '=', so the words are read from the line itself
  read -r -a words <<<"\${COMP_LINE:0:COMP_POINT}"
  [[ \${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=('')
  last=$((\${#words[@]} - 1))
  for ((i = 1; i < last; i++)); do
    word=\${words[i]}
    case $word in
      ${valuedFlags.join("|")})
        i=$((i + 1))
        [[ $i -eq $last ]] && flag=$word
        ;;
      -*) ;;
      *) if [[ $command == run ]]; then command=$word; else operands=$((operands + 1)); fi ;;
    esac
  done
  typed=\${words[last]} value=\${words[last]}
  if [[ -z $flag && $typed == --*=* ]]; then
    flag=\${typed%%=*} lead=\${typed%%=*}= value=\${typed#*=}
  fi

  if [[ -n $flag ]]; then
    _reflow_value "$command" "$flag"
  else
    [[ $typed != -* ]] && _reflow_operand "$command" "$operands"
    [[ -z $files && ($typed == -* || -z $offered || $command == run) ]] && _reflow_more "$command"
  fi
  [[ -n $setting ]] && _reflow_setting "$value"

  COMPREPLY=()
  if [[ -n $files ]]; then
    compopt -o filenames 2>/dev/null
    IFS=$'\\n'
    COMPREPLY=($(compgen -f -- "$value"))
    return
  fi
  # bash replaces only the part after the last '=', so the part before it is cut off
  [[ $typed == *=* && $COMP_WORDBREAKS == *=* ]] && cut=\${typed%=*}=
  for word in $offered; do
    word=$lead$word
    [[ $word == "$typed"* ]] && COMPREPLY+=("\${word#"$cut"}")
  done
}

# adds the flags of the command $1 to offered
_reflow_more() {
  local before=$offered
  _reflow_flags "$1"
  offered="$before $offered"
}

complete -F _reflow reflow
`

/** A text in single quotes. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

const escaped = (text: string): string => text.replaceAll(/[\\:[\]]/g, (sign) => `\\${sign}`)

/** A word and its description, in the form that zsh's _describe takes. */
const described = (word: string, meaning: string): string => quoted(`${word.replaceAll(":", "\\:")}:${meaning}`)

const actionOf = (from: Flag["from"]): string => {
  if (from === "file") return "_files"
  if (from === "setting") return "_reflow_setting"
  return from === undefined ? " " : `(${from.join(" ")})`
}

/** A flag as a spec of zsh's _arguments. */
const toSpec = ([name, { value, repeatable, help, from }]: readonly [string, Flag]): string => {
  const meaning = `[${escaped(help)}]`
  if (name === "help") return `'(-h --help)'{-h,--help}${quoted(meaning)}`
  if (value === undefined) return quoted(`--${name}${meaning}`)
  return quoted(`${repeatable === true ? "*" : ""}--${name}=${meaning}:${escaped(value)}:${actionOf(from)}`)
}

const flagSpecs = (name: CommandName): string => flagsOf(name).map(toSpec).join(" \\\n    ")

const operandSpecs = (name: CommandName): string =>
  operandsOf(name)
    .map((words) => ` \\\n    ${quoted(words === "file" ? "*:file:_files" : `:${name}:(${words.join(" ")})`)}`)
    .join("")

const zshCommandLines = commandNames.map(
  (name) => `    ${name}) _arguments \\\n    ${flagSpecs(name)}${operandSpecs(name)} ;;`,
)

const zshChoiceLines = [...leafKeys].flatMap(([key, { choices }]) =>
  choices.length === 0 ? [] : [`    ${key}=*) compset -P '*=' && compadd ${choices.join(" ")} ;;`],
)

/** The completion script for zsh 5; needs compinit. */
export const zshScript = (): string => `#compdef reflow
# zsh completion of reflow: source <(reflow completion zsh), after compinit

_reflow_setting() {
  local -a keys
  case $PREFIX in
${zshChoiceLines.join("\n")}
    *=*) _message value ;;
    *)
      keys=(
${[...leafKeys].map(([key, { description }]) => `        ${described(key, description)}`).join("\n")}
      )
      _describe -t keys key keys -S =
      ;;
  esac
}

_reflow_command() {
  local -a commands
  commands=(
${commandNames.map((name) => `    ${described(name, commands[name].help)}`).join("\n")}
  )
  _describe -t commands command commands
}

_reflow() {
  local curcontext="$curcontext" state line
  typeset -A opt_args
  _arguments -C -A '-*' \\
    ${flagSpecs("run")} \\
    '1: :_reflow_command' '(-)*:: :->command'
  [[ $state == command ]] || return
  case $line[1] in
${zshCommandLines.join("\n")}
  esac
}

# as a file in $fpath, this script is the body of the function _reflow
if [[ $funcstack[1] == _reflow ]]; then _reflow "$@"; else compdef _reflow reflow; fi
`

const scripts: Readonly<Record<Shell, () => string>> = { bash: bashScript, zsh: zshScript }

/**
 * The script that makes a shell complete commands, flags, roles and configuration keys. The script contains all of
 * them, so that completion does not start the program.
 */
export const completionScript = (shell: Shell): string => scripts[shell]()
