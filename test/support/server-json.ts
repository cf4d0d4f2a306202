import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync, realpathSync } from "node:fs"
import { createRequire } from "node:module"
import { delimiter, dirname, join } from "node:path"
import { parse } from "yaml"

const folder = join(import.meta.dirname, "../fixtures/server-json")

/** A document as the registry publishes them, what is asked of it, and what a person made of it. */
export type Sample = {
  readonly name: string
  readonly document: Readonly<Record<string, unknown>>
  readonly request: {
    readonly prefer?: string
    readonly arguments?: Readonly<Record<string, unknown>>
    readonly command?: readonly string[]
  }
  /** The target that it makes; `warnings` as `pointer: detail`. */
  readonly made?: { readonly name: string; readonly spec: object; readonly warnings?: readonly string[] }
  /** Why it makes none, as `pointer: detail`. */
  readonly refused?: readonly string[]
}

/** Day of the samples' targets, and a time of it in milliseconds since the epoch. */
export const sampleDay = "2026-11-01"
export const sampleTime = Date.parse(`${sampleDay}T12:00:00Z`)

const files = readdirSync(folder)
const read = (file: string): string => readFileSync(join(folder, file), "utf8")

/** The folder of the npm of this machine. */
const npmFolder = (): string => {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    try {
      return dirname(dirname(realpathSync(join(folder, "npm"))))
    } catch {
      // not in this one
    }
  }
  throw new Error("there is no npm on the PATH")
}

/** The default registry of npm, from npm itself. */
export const publicNpm = (): string => {
  const require = createRequire(join(npmFolder(), "package.json"))
  const { definitions } = require("@npmcli/config/lib/definitions")
  return definitions.registry.default
}

/** The default index of Python packages, from pip itself; undefined where there is no pip. */
const publicIndex = (): string | undefined => {
  try {
    const program = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    return execFileSync("python3", ["-c", program], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim()
  } catch {
    return undefined
  }
}

const registries = { PUBLIC_NPM: publicNpm(), PUBLIC_PYPI: publicIndex() }

/** A document whose registries are the public ones; without the URL where this machine does not know it. */
const withRegistries = (text: string): string =>
  JSON.stringify(
    JSON.parse(text, (_, value) => {
      const name = typeof value === "string" && value.endsWith("/") ? value.slice(0, -1) : value
      if (!Object.hasOwn(registries, name)) return value
      const url = registries[name as keyof typeof registries]
      // some documents have a slash at the end
      return name === value || url === undefined ? url : `${url}/`
    }),
  )

const sampleOf = (name: string): Sample => ({
  name,
  document: JSON.parse(withRegistries(read(`${name}.json`))),
  request: files.includes(`${name}.request.json`) ? JSON.parse(read(`${name}.request.json`)) : {},
  ...(files.includes(`${name}.yaml`) ? { made: parse(read(`${name}.yaml`)) } : {}),
  ...(files.includes(`${name}.txt`) ? { refused: read(`${name}.txt`).trimEnd().split("\n") } : {}),
})

/** All samples of test/fixtures/server-json. */
export const samples: readonly Sample[] = files
  .filter((file) => file.endsWith(".json") && !file.endsWith(".request.json"))
  .map((file) => sampleOf(file.slice(0, -".json".length)))

/** Problems as lines. */
export const lines = (problems: readonly { readonly pointer: string; readonly detail: string }[]): readonly string[] =>
  problems.map(({ pointer, detail }) => `${pointer}: ${detail}`)
