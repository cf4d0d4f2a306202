import { type CommandName, commandNames, commands, type Flag, flagsOf, operandsOf } from "../commands.ts"
import { leafKeys } from "../keys.ts"

/** A text in single quotes. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

const escaped = (text: string): string => text.replaceAll(/[\\:[\]]/g, (sign) => `\\${sign}`)

/** A word and what it means, for _describe. */
const described = (word: string, meaning: string): string => quoted(`${word.replaceAll(":", "\\:")}:${meaning}`)

const actionOf = (from: Flag["from"]): string => {
  if (from === "file") return "_files"
  if (from === "setting") return "_reflow_setting"
  return from === undefined ? " " : `(${from.join(" ")})`
}

/** A flag as _arguments wants it. */
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

const commandLines = commandNames.map(
  (name) => `    ${name}) _arguments \\\n    ${flagSpecs(name)}${operandSpecs(name)} ;;`,
)

const choiceLines = [...leafKeys].flatMap(([key, { choices }]) =>
  choices.length === 0 ? [] : [`    ${key}=*) compset -P '*=' && compadd ${choices.join(" ")} ;;`],
)

/** For zsh 5, by its own completion system. */
export const zshScript = (): string => `#compdef reflow
# zsh completion of reflow: source <(reflow completion zsh), after compinit

_reflow_setting() {
  local -a keys
  case $PREFIX in
${choiceLines.join("\n")}
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
${commandLines.join("\n")}
  esac
}

# as a file of $fpath it is the function itself
if [[ $funcstack[1] == _reflow ]]; then _reflow "$@"; else compdef _reflow reflow; fi
`
