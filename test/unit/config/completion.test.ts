import { execFile, execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { commandNames, flagsOf, type Shell, shells } from "../../../src/cli/commands.ts"
import { completionScript } from "../../../src/cli/completion.ts"
import { parseCommand } from "../../../src/cli/flags.ts"
import { leafKeys } from "../../../src/config/key-tree.ts"
import { loadConfig } from "../../../src/config/load.ts"

const isInstalled = (shell: Shell): boolean => {
  try {
    execFileSync(shell, ["-c", "exit 0"], { stdio: "ignore" })
    return true
  } catch {
    console.warn(`!!! ${shell} is not installed: its completion is not tried !!!`)
    return false
  }
}
const installed = Object.fromEntries(shells.map((shell) => [shell, isInstalled(shell)]))

let folder = ""
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "reflow-completion-"))
  for (const shell of shells) writeFileSync(join(folder, shell), completionScript(shell))
  for (const name of ["one target.yaml", "other.yaml"]) writeFileSync(join(folder, name), "")
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Runs a shell without its user's settings, in a folder with two YAML files. */
const run = async (shell: Shell, args: readonly string[]): Promise<string> => {
  const env = { PATH: process.env.PATH, HOME: folder, TERM: "dumb" }
  return (await promisify(execFile)(shell, [...args], { cwd: folder, env, timeout: 20_000 })).stdout
}

/** What readline would offer after the line; it replaces what follows the last '='. */
const bash = async (line: string): Promise<readonly string[]> => {
  const script = `source ./bash; COMP_LINE=$1 COMP_POINT=\${#1}; _reflow; printf '%s\\n' "\${COMPREPLY[@]}"`
  const said = await run("bash", ["--norc", "--noprofile", "-c", script, "bash", line])
  return said.split("\n").filter(Boolean)
}

/** The line as zsh has completed it, in a terminal of its own. */
const zsh = async (line: string): Promise<string> => {
  const script = `
    zmodload zsh/zpty
    zpty shell zsh -f -i
    zpty -w shell "unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -D -u; source ./zsh"
    zpty -w shell 'tell() { print -r -- "<<$BUFFER>>" }; zle -N tell; bindkey "^X" tell; bindkey "^I" complete-word'
    zpty -w shell "print IS''READY"
    zpty -r shell said '*ISREADY*'
    zpty -w -n shell "$1"$'\\t\\x18'
    zpty -r shell said '*<<*>>*'
    print -r -- "$said"
    zpty -d shell`
  const said = await run("zsh", ["-f", "-c", script, "zsh", line])
  return /<<(.*)>>/.exec(said)?.[1]?.trimEnd() ?? said
}

const keys = [...leafKeys.keys()]
const below = (prefix: string): readonly string[] =>
  keys.filter((key) => key.startsWith(prefix)).map((key) => `${key}=`)

/** What is offered after a line; for bash, what follows the last '='. */
const offers: readonly (readonly [line: string, words: readonly string[]])[] = [
  ["reflow c", ["config", "check", "completion"]],
  ["reflow --set kubernetes.idle_ttl=10m tok", ["token"]],
  ["reflow --role ", ["gateway", "operator", "all", "dev"]],
  ["reflow --role=d", ["dev"]],
  ["reflow check --role ", ["gateway", "operator", "all"]],
  ["reflow config --s", ["--set", "--schema"]],
  ["reflow --sc", []],
  ["reflow token --gr", ["--group", "--grant-role"]],
  ["reflow token --for m", ["mcp", "mcp,api"]],
  ["reflow token --subject ", []],
  ["reflow token --subject config --t", ["--ttl"]],
  ["reflow plugin ch", ["check"]],
  ["reflow completion ", ["bash", "zsh"]],
  ["reflow --set ", below("")],
  ["reflow --role dev --set kubernetes.e", below("kubernetes.e")],
  ["reflow config --set=log.l", ["log.level="]],
  ["reflow --set kubernetes.enabled=", ["true", "false"]],
  ["reflow --set=log.level=", ["debug", "info", "warn", "error"]],
  ["reflow --set kubernetes.idle_ttl=", []],
  ["reflow --config o", ["one target.yaml", "other.yaml"]],
  ["reflow --role dev --targets ot", ["other.yaml"]],
  ["reflow plugin check ot", ["other.yaml"]],
  ...commandNames.map((name) => [`reflow ${name} --`, flagsOf(name).map(([flag]) => `--${flag}`)] as const),
]

describe.skipIf(!installed.bash)("bash", () => {
  test.each(offers)("is offered after «%s»: %j", async (line, words) => {
    expect((await bash(line)).toSorted()).toEqual(words.toSorted())
  })

  test("is offered commands and flags when nothing is written yet", async () => {
    expect(await bash("reflow ")).toEqual([...commandNames, ...flagsOf("run").map(([flag]) => `--${flag}`)])
  })

  test("completes a word in the middle of the line, whatever follows", async () => {
    const script = `source ./bash; COMP_LINE='reflow --ro --set x=y' COMP_POINT=11; _reflow; echo "\${COMPREPLY[@]}"`
    expect(await run("bash", ["--norc", "--noprofile", "-c", script])).toBe("--role\n")
  })

  test("keeps what stands before an '=' where that does not end a word", async () => {
    const script = `source ./bash; COMP_WORDBREAKS=' '; COMP_LINE='reflow --set=log.f'; COMP_POINT=\${#COMP_LINE}; _reflow; echo "\${COMPREPLY[@]}"`
    expect(await run("bash", ["--norc", "--noprofile", "-c", script])).toBe("--set=log.format=\n")
  })

  test("knows the completion by the program's name", async () => {
    const script = "source ./bash; complete -p reflow"
    expect(await run("bash", ["--norc", "--noprofile", "-c", script])).toBe("complete -F _reflow reflow\n")
  })
})

describe.skipIf(!installed.zsh)("zsh", () => {
  test.each([
    ["reflow tok", "reflow token"],
    ["reflow --role d", "reflow --role dev"],
    ["reflow --role dev con", "reflow --role dev config"],
    ["reflow check --role d", "reflow check --role d"],
    ["reflow check --role g", "reflow check --role gateway"],
    ["reflow --set kubernetes.ev", "reflow --set kubernetes.evict_idle="],
    ["reflow config --set log.level=d", "reflow config --set log.level=debug"],
    ["reflow --set=log.f", "reflow --set=log.format="],
    ["reflow config --sc", "reflow config --schema"],
    ["reflow completion z", "reflow completion zsh"],
    ["reflow plugin check oth", "reflow plugin check other.yaml"],
    ["reflow --config one", "reflow --config one\\ target.yaml"],
  ])("completes «%s» to «%s»", async (line, completed) => {
    expect(await zsh(line)).toBe(completed)
  })
})

describe("what is offered is understood:", () => {
  test.each([...leafKeys].filter(([, { choices }]) => choices.length > 0))("values of %s", (key, { choices }) => {
    for (const choice of choices) {
      const command = parseCommand(["config", "--set", `${key}=${choice}`])
      if (command.kind !== "config") throw new Error("not config")
      const { values } = loadConfig({ settings: command.settings, environment: {} })
      const value = key.split(".").reduce<unknown>((below, name) => Object(below)[name], values)
      expect(String(value)).toBe(choice)
    }
  })

  test("the roles of check, and the shells", () => {
    const [, { from = [] } = {}] = flagsOf("check").find(([flag]) => flag === "role") ?? []
    for (const role of from) expect(parseCommand(["check", "--role", role])).toMatchObject({ kind: "check", role })
    for (const shell of shells) expect(parseCommand(["completion", shell])).toEqual({ kind: "completion", shell })
  })
})
