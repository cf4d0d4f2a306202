/** What can be seen of the chart without Helm; test/kubernetes/helm-*.test.ts do the rest. */
import { globSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { expect, test } from "vitest"
import { parse } from "yaml"
import { chartValues, chartValuesSchema } from "../../src/generate/chart.ts"
import { version } from "../../src/version.ts"

const root = resolve(import.meta.dirname, "../..")
const read = (path: string): string => readFileSync(join(root, path), "utf8")

test("the chart has every file of crd/, rbac/ and manager/ as it stands there", () => {
  const sources = globSync("{crd,rbac,manager}/*", { cwd: root })
  expect(sources.length).toBeGreaterThan(5)
  for (const path of sources) expect(read(`chart/files/${path}`), path).toBe(read(path))
})

test("the chart has the program's version", () => {
  expect(parse(read("chart/Chart.yaml"))).toMatchObject({ version, appVersion: version })
})

type Schema = {
  readonly type?: string
  readonly description?: string
  readonly pattern?: string
  readonly properties?: Readonly<Record<string, Schema>>
}

/** Every key that the schema knows and that is no list's, by its path, e.g. `gateway.tls.secretName`. */
const keysOf = (schema: Schema, path = ""): (readonly [string, Schema])[] =>
  Object.entries(schema.properties ?? {}).flatMap(([name, child]) => [
    [`${path}${name}`, child] as const,
    ...keysOf(child, `${path}${name}.`),
  ])

const schema = chartValuesSchema() as Schema
const values = parse(read("chart/values.yaml"))

test("values.yaml has what the schema allows, each key described", () => {
  const { config, ...others } = values
  expect(config).toEqual({})
  expect(chartValues.safeParse(others).error).toBeUndefined()
  const isOpen = (key: string): boolean => /^(global|config\.)|\.resources\.|\.affinity\./.test(key)
  for (const [key, { description }] of keysOf(schema)) {
    if (isOpen(key)) continue
    expect(description, key).toMatch(/\.$/)
    const found = key.split(".").reduce<unknown>((inner, name) => (inner as Record<string, unknown>)?.[name], values)
    expect(found, `${key} in values.yaml`).toBeDefined()
  }
})

test("the configuration under config has the program's own schema, but for patterns that Go cannot read", () => {
  const config = schema.properties?.config
  expect(Object.keys(config?.properties ?? {})).toEqual(expect.arrayContaining(["kubernetes", "gateway", "auth"]))
  const text = read("chart/values.schema.json")
  expect(text).toContain('"idle_ttl"')
  expect([...text.matchAll(/"pattern": "(.*)"/g)].filter(([, pattern]) => pattern?.includes("(?"))).toEqual([])
})

test("a subchart gets `global` from Helm, and is not refused for it", () => {
  expect(chartValues.safeParse({ global: { any: "thing" } }).success).toBe(true)
  expect(chartValues.safeParse({ gobal: {} }).success).toBe(false)
})
