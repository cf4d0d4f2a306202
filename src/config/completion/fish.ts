import { type CommandName, commandNames, commands, type Flag, flagsOf, operandsOf, valuedFlags } from "../commands.ts"
import { leafKeys } from "../keys.ts"

/** A text in single quotes. */
const quoted = (text: string): string => `'${text.replaceAll(/[\\']/g, (sign) => `\\${sign}`)}'`

/** True when this command is being written. */
const conditionOf = (name: CommandName): string => quoted(`test (__reflow_command) = ${name}`)

const takenBy = ({ value, from }: Flag): string => {
  if (value === undefined) return ""
  if (from === "file") return " -r -F"
  if (from === "setting") return " -x -a '(__reflow_settings)'"
  return from === undefined ? " -x" : ` -x -a ${quoted(from.join(" "))}`
}

const flagLines = (name: CommandName): readonly string[] =>
  flagsOf(name).map(
    ([flag, row]) =>
      `complete -c reflow -n ${conditionOf(name)}${flag === "help" ? " -s h" : ""} -l ${flag}${takenBy(row)} -d ${quoted(row.help)}`,
  )

const operandLines = (name: CommandName): readonly string[] =>
  operandsOf(name).map((words, index, all) => {
    const seen = all.slice(0, index).flatMap((each) => (each === "file" ? [] : each))
    const after = seen.length === 0 ? "" : ` -n ${quoted(`contains ${seen.join(" ")} (commandline -opc)`)}`
    const what = words === "file" ? "-F" : `-a ${quoted(words.join(" "))}`
    return `complete -c reflow -n ${conditionOf(name)}${after} ${what}`
  })

const commandLines = commandNames.map(
  (name) => `complete -c reflow -n ${conditionOf("run")} -a ${name} -d ${quoted(commands[name].help)}`,
)

const choiceLines = [...leafKeys].flatMap(([key, { choices }]) =>
  choices.length === 0 ? [] : [`        case '*${key}=*'\n            printf '${key}=%s\\n' ${choices.join(" ")}`],
)

const keyLines = [...leafKeys].map(
  ([key, { description }]) => `            printf '%s\\t%s\\n' ${key}= ${quoted(description)}`,
)

const everyCommand: readonly CommandName[] = ["run", ...commandNames]

/** For fish 3 and newer. */
export const fishScript = (): string => `# fish completion of reflow: reflow completion fish | source

# the command that is being written; run is what stands without one
function __reflow_command
    set -l is_value no
    for word in (commandline -opc)[2..-1]
        if test $is_value = yes
            set is_value no
            continue
        end
        switch $word
            case ${valuedFlags.join(" ")}
                set is_value yes
            case '-*'
            case '*'
                echo $word
                return
        end
    end
    echo run
end

function __reflow_settings
    switch (commandline -ct)
${choiceLines.join("\n")}
        case '*.*=*'
            return
        case '*'
${keyLines.join("\n")}
    end
end

complete -c reflow -f
${commandLines.join("\n")}
${everyCommand.flatMap((name) => [...operandLines(name), ...flagLines(name)]).join("\n")}
`
