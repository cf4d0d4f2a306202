import { resolveContainer } from "../../../src/adapters/process/environment.ts"
import { longestTogether, overExpanded } from "../../../src/api/expansion.ts"
import type { Door, Family } from "../family.ts"

const longestWord = 4_096
const longestValue = 32_768
/** Most variables, and most words of command and of args. */
const most = 100
/** So many of each have the 2 MiB that may be expanded together. */
const full = 50

type Env = readonly { readonly name: string; readonly value: string }[]

/** `count` texts of up to `length` characters that are `piece` again and again. */
const texts = (count: number, length: number, piece: string): readonly string[] =>
  Array.from({ length: count }, () => piece.repeat(Math.floor(length / piece.length)))

/** A container's words and variables, read by the operator and by the node of the role dev. */
const container = (
  name: string,
  largest: number,
  env: (size: number) => Env,
  words: (size: number) => readonly string[],
): Family => ({
  name,
  largest,
  make: (size) => {
    const given = { name: "mcp", image: "i", env: env(size), command: words(size), args: words(size) }
    const secrets = new Map([["s", { TOKEN: "$(TOKEN)".repeat(8_000) }]])
    const dev = {
      container: { ...given, envFrom: [{ secretRef: { name: "s" } }] },
      secrets,
      field: () => undefined,
      base: {},
      port: 8080,
    }
    return () => [overExpanded(given), resolveContainer(dev)]
  },
})

/** Every text is made of `piece`; the size is how many there are. */
const made = (name: string, piece: string): Family =>
  container(
    name,
    full,
    (size) => texts(size, longestValue, piece).map((value, at) => ({ name: `V${at}`, value })),
    (size) => texts(size, longestWord, piece),
  )

/** One variable of a pod template, which no schema keeps short; its size is its characters. */
const long = (name: string, piece: string, last = ""): Family =>
  container(
    name,
    longestTogether,
    (size) => [{ name: "A", value: `${piece.repeat(Math.max(0, size / piece.length - 1))}${last}` }],
    () => [],
  )

/** Each variable names the one before it as often as `times` says; its size is the number of variables. */
const chain = (name: string, times: number): Family =>
  container(
    name,
    most,
    (size) =>
      Array.from({ length: size }, (_, at) => ({
        name: `V${at}`,
        value: at === 0 ? "xx" : `$(V${at - 1})`.repeat(times),
      })),
    (size) => texts(size, longestWord, `$(V${size - 1})`),
  )

export const doors: readonly Door[] = [
  {
    name: "`$(NAME)` in command, args and env of a container",
    limit: "100 variables of 32,768 characters, 200 words of 4,096; expanded 128 KiB each, 2 MiB together",
    families: [
      long("brackets that nothing closes", "$("),
      long("one bracket for all that open", "$(", ")"),
      long("dollar signs in one text", "$"),
      long("a name that is a whole text", "$(A".padEnd(1_024, "A")),
      made("dollar signs", "$"),
      made("names that nobody has", "$(A B)"),
      made("empty names", "$()"),
      made("escaped brackets", "$$("),
      chain("values that name the one before", 1),
      chain("values that double", 2),
      chain("values that grow by thousands", 4_000),
      container(
        "credentials again and again",
        most,
        () => [],
        (size) => texts(size, longestWord, "$(TOKEN)"),
      ),
    ],
  },
]
