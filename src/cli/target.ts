/** The command `reflow target from FILE`, as its flags describe it. */
import { type Preference, preferences } from "../api/server-json/convert.ts"
import { type Values, wrong } from "./caller.ts"

/** What `reflow target from` is asked for. */
export type TargetCommand = {
  readonly kind: "target"
  /** Path of the server.json; `-` = stdin. */
  readonly path: string
  /** Name of the target; undefined = made of the document's. */
  readonly name: string | undefined
  /** Use only packages of this kind, or remote servers; undefined = any. */
  readonly prefer: Preference | undefined
  /** Values of the document's inputs, by their names. */
  readonly arguments: ReadonlyMap<string, readonly string[]>
  /** Entrypoint of an image; empty = not given. */
  readonly command: readonly string[]
}

const preferenceNamed = (text: string | undefined): Preference | undefined => {
  const found = preferences.find((each) => each === text)
  if (text !== undefined && found === undefined) throw wrong(`--prefer must be one of ${preferences.join(", ")}`)
  return found
}

/** `NAME=VALUE`; the name may begin with dashes, and the value may have further '='. A name may come several times. */
const argumentsOf = (texts: readonly string[]): ReadonlyMap<string, readonly string[]> => {
  const given = new Map<string, readonly string[]>()
  for (const text of texts) {
    const at = text.indexOf("=")
    if (at < 1) throw wrong("--argument needs NAME=VALUE, e.g. --argument REGION=eu or --argument=--port=8080")
    const name = text.slice(0, at)
    given.set(name, [...(given.get(name) ?? []), text.slice(at + 1)])
  }
  return given
}

/** The command that operands and flags describe. Throws UsageInvalid. */
export const targetCommand = ([action, path, ...more]: readonly string[], all: Values): TargetCommand => {
  if (action !== "from" || path === undefined || more.length > 0)
    throw wrong("Say which server.json: reflow target from FILE")
  return {
    kind: "target",
    path,
    name: all("name")[0],
    prefer: preferenceNamed(all("prefer")[0]),
    arguments: argumentsOf(all("argument")),
    command: all("command"),
  }
}
