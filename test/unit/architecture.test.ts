import { globSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { expect, test } from "vitest"
import { directions, doors, findViolations, functionLengths, globals, longestFile } from "../support/architecture.ts"

const root = resolve(import.meta.dirname, "../..")
const paths = globSync("{src,plugins}/**/*.ts", { cwd: root })

test("imports follow the directions, and each library and global has one door", () => {
  expect(paths.length).toBeGreaterThan(20)
  expect(findViolations(new Map(paths.map((path) => [path, readFileSync(join(root, path), "utf8")])))).toEqual([])
})

test("of a hundred functions at most one has more than 50 lines", () => {
  const lengths = paths.flatMap((path) => functionLengths(readFileSync(join(root, path), "utf8")))
  expect(lengths.length).toBeGreaterThan(3_000)
  expect(lengths.filter((lines) => lines > 50).length).toBeLessThanOrEqual(lengths.length / 100)
})

test("the lines of a function are counted from its head to its end", () => {
  const text = "const a = () => 1\nfunction b() {\n  return { c() {\n    return 1\n  } }\n}\n"
  expect(functionLengths(text)).toEqual([1, 5, 3])
})

test("gateway, admin and operator never import each other, and nothing below imports a composition root", () => {
  const apart = ["gateway", "placement", "admin", "operator"]
  for (const room of apart) for (const other of apart) if (room !== other) expect(directions[room]).not.toContain(other)
  for (const [room, allowed] of Object.entries(directions)) if (room !== "main") expect(allowed).not.toContain("roles")
})

/** What the checker says of one file with this text, at this path. */
const say = (path: string, text: string): string[] => findViolations(new Map([[path, text]]))

test.each([
  ["an import against the direction", "src/gateway/a.ts", 'import { x } from "../operator/x.ts"'],
  ["a type against the direction", "src/gateway/a.ts", 'import type { X } from "../operator/x.ts"'],
  ["an import() against the direction", "src/operator/a.ts", 'const x = await import("../gateway/x.ts")'],
  ["an import() of a type against the direction", "src/operator/a.ts", 'type X = import("../gateway/x.ts").X'],
  ["a re-export against the direction", "src/api/a.ts", 'export { x } from "../gateway/x.ts"\nexport const y = 1'],
  ["an import for its effect against the direction", "src/api/a.ts", 'import "../roles/dev.ts"'],
  ["one adapter inside another", "src/adapters/memory/a.ts", 'import { x } from "../kube/x.ts"'],
  ["a plugin that reaches behind the contract", "plugins/a.ts", 'import { x } from "../src/plugin/host.ts"'],
  ["the plugin host where only the contract is due", "src/operator/a.ts", 'import { x } from "../plugin/host.ts"'],
  ["values of the configuration's schema", "src/gateway/a.ts", 'import { configSchema } from "../config/schema.ts"'],
  ["a type that leaves an import behind", "src/gateway/a.ts", 'import { type Config } from "../config/schema.ts"'],
  ["a room that nobody planned", "src/helpers/a.ts", 'import { x } from "../api/x.ts"'],
  ["package.json", "src/admin/a.ts", 'import m from "../../package.json" with { type: "json" }'],
  ["a library outside its door", "src/gateway/placement.ts", 'import { Pool } from "undici"'],
  ["a library by require", "src/gateway/a.ts", 'const { KubeConfig } = require("@kubernetes/client-node")'],
  ["a library that no room has", "src/api/a.ts", 'import _ from "lodash"'],
  ["a part of a library that no room has", "src/door/front-door.ts", 'import { H3 } from "h3"'],
  ["a builtin module without node:", "src/gateway/a.ts", 'import { createServer } from "http"'],
  ["a computed import", "src/gateway/a.ts", "export const load = (name: string) => import(name)"],
  ["node:sea by import()", "src/roles/a.ts", 'const sea = await import("node:sea")'],
  ["node:sea by getBuiltinModule", "src/roles/a.ts", 'const sea = process.getBuiltinModule("node:sea")'],
  ["Node's request behind the door", "src/gateway/a.ts", 'import type { IncomingMessage } from "node:http"'],
  ["Node's response by import()", "src/placement/a.ts", 'type X = import("node:http").ServerResponse'],
  ["process.env", "src/roles/a.ts", "export const home = process.env.HOME"],
  ["process.env in brackets", "src/roles/a.ts", 'export const home = process["env"].HOME'],
  ["process.env of globalThis", "src/roles/a.ts", "export const home = globalThis.process.env.HOME"],
  ["process.env taken apart", "src/roles/a.ts", "const { env } = process"],
  ["env of node:process", "src/roles/a.ts", 'import { env as e } from "node:process"'],
  ["Deno", "src/roles/a.ts", "export const args = Deno.args"],
  ["Deno of globalThis", "src/roles/a.ts", "export const deno = globalThis.Deno"],
  ["a barrel", "src/api/index.ts", 'export * from "./kind.ts"\nexport { x } from "./names.ts"'],
  ["a file that is too long", "src/api/a.ts", "export {}\n".repeat(longestFile + 1)],
])("the check finds %s", (_, path, text) => {
  expect(say(path, text)).toHaveLength(1)
  expect(say(path, text)[0]).toContain(path)
})

test("the check finds a cycle, of types too", () => {
  const sources = new Map([
    ["src/api/a.ts", 'import { b } from "./b.ts"'],
    ["src/api/b.ts", 'import type { C } from "./c.ts"'],
    ["src/api/c.ts", 'export const c = () => import("./a.ts")'],
  ])
  expect(findViolations(sources)).toEqual(["cycle: src/api/a.ts → src/api/b.ts → src/api/c.ts → src/api/a.ts"])
})

test("the check allows what the directions allow", () => {
  const allowed: readonly (readonly [string, string])[] = [
    ["src/door/front-door.ts", 'import { H3 } from "h3/node"\nimport { AppError } from "../errors.ts"'],
    ["src/gateway/a.ts", 'import type { Config } from "../config/schema.ts"'],
    ["src/operator/deep/a.ts", 'import type { Pod } from "../../plugin/contract.ts"'],
    ["src/door/a.ts", 'import type { IncomingMessage } from "node:http"'],
    ["src/gateway/a.ts", 'import type { IncomingHttpHeaders } from "node:http"'],
    ["src/roles/dev.ts", 'import { x } from "../adapters/memory/x.ts"\n// process.env and Deno in a comment'],
    ["src/api/long.ts", "export {}\n".repeat(longestFile)],
    ...Object.entries(doors).flatMap(([library, places]) =>
      places.map((place) => [place.endsWith("/") ? `${place}a.ts` : place, `import x from "${library}"`] as const),
    ),
    ...Object.entries(globals).flatMap(([name, places]) =>
      places.map((place) => [place, `export const x = ${name}`] as const),
    ),
  ]
  for (const [path, text] of allowed) expect(say(path, text), `${path}: ${text}`).toEqual([])
})
