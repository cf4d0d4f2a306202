import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { parse } from "yaml"
import { publicRegistries } from "../../src/api/server-json/registries.ts"

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

/** The names of public registries stand in the code alone. */
const withRegistries = (text: string): string =>
  text
    .replaceAll("PUBLIC_NPM", publicRegistries.npm?.[0] ?? "")
    .replaceAll("PUBLIC_PYPI", publicRegistries.pypi?.[0] ?? "")

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
