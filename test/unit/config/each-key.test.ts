/** Every key of the configuration, by each of the three ways to set it; a key that is added needs a line here. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { parseCommand } from "../../../src/cli/flags.ts"
import { keyAt, leafKeys } from "../../../src/config/key-tree.ts"
import { configReport, loadConfig } from "../../../src/config/load.ts"

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "reflow-config-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

/** For each key a value that is not its default, as YAML in one line, and one that is wrong; any text will do for some. */
const samples: Readonly<Record<string, readonly [right: string, wrong: string | undefined]>> = {
  "kubernetes.enabled": ["false", "maybe"],
  "kubernetes.namespace": ["servers", "Not_A_Name"],
  "kubernetes.kubeconfig": ["/home/me/.kube/config", undefined],
  "kubernetes.idle_ttl": ["7m", "7 minutes"],
  "kubernetes.max_lifetime": ["7h", "P1D"],
  "kubernetes.gc_interval": ["7s", "7"],
  "kubernetes.max_instances": ["7", "0"],
  "kubernetes.hold_timeout": ["7s", "-7s"],
  "kubernetes.start_timeout": ["7m", "0s"],
  "kubernetes.drain_timeout": ["0s", "soon"],
  "kubernetes.stream_ttl": ["7m", "never"],
  "kubernetes.evict_idle": ["false", "no"],
  "kubernetes.expose_subjects": ["false", "0"],
  "kubernetes.bridge.image": ["registry.example/reflow:1", undefined],
  "kubernetes.bridge.image_pull_secrets": ["[registry]", "7"],
  "kubernetes.bridge.delivery": ["copy", "mail"],
  "kubernetes.bridge.share_processes": ["false", "0"],
  "kubernetes.packages.npm.image": ["registry.example/node:1", "''"],
  "kubernetes.packages.npm.registry": ["https://npm.example.com/mirror/", "https://me:secret@npm.example.com"],
  "kubernetes.packages.npm.secret": ["npm-registry", "Not_A_Name"],
  "kubernetes.packages.pypi.image": ["registry.example/uv:1", "''"],
  "kubernetes.packages.pypi.registry": ["http://pypi.example.com:8080/simple", "pypi.example.com"],
  "kubernetes.packages.pypi.secret": ["python-index", "Not_A_Name"],
  "kubernetes.packages.registries": [
    "[{url: https://npm.example.com, secret: npm}]",
    "[{url: 'https://npm.example.com?token=x', secret: npm}]",
  ],
  "kubernetes.packages.cache_claim": ["packages", "Not_A_Name"],
  "kubernetes.run_as_user": ["1000", "nobody"],
  "kubernetes.allow_in_pods": ["[hostPath]", "[everything]"],
  "kubernetes.pod_security": ["baseline", "none"],
  "kubernetes.cluster_cidrs": ["[10.0.0.0/8]", "[10.0.0.0/99]"],
  "gateway.listen": ["127.0.0.1:7070", "7070"],
  "gateway.public_url": ["https://mcp.example.com", "mcp.example.com"],
  "gateway.allowed_hosts": ["[a.example]", "[https://a.example]"],
  "gateway.allowed_origins": ["[https://a.example]", "[a.example]"],
  "gateway.trusted_proxies": ["[10.1.0.0/16]", "[proxy]"],
  "gateway.request_timeout": ["7m", "7x"],
  "gateway.session_lifetime": ["7h", "7"],
  "gateway.max_body": ["7MiB", "7 apples"],
  "gateway.max_waiting": ["7", "many"],
  "gateway.max_held": ["700MiB", "1"],
  "gateway.keys_secret": ["other-keys", "Not_A_Name"],
  "auth.issuers": ["[{name: corp, issuer: https://id.example.com}]", "[{name: Corp, issuer: https://id.example.com}]"],
  "auth.tokens": [`[{name: ci, sha256: ${digest}, subject: ci}]`, "[{name: ci, sha256: short, subject: ci}]"],
  "auth.admin_roles": ["[platform]", "platform"],
  "remote.allow_http": ["true", "maybe"],
  "remote.allow_networks": ["[10.2.0.0/16]", "[intranet]"],
  "remote.allow_hosts": ["[mcp.corp.example, '*.svc.example:8443']", "['https://mcp.corp.example']"],
  plugins: ["[{path: a.mjs}]", "[{path: 7}]"],
  "log.level": ["warn", "loud"],
  "log.format": ["text", "xml"],
  "log.subjects": ["name", "subject"],
  "metrics.listen": ["127.0.0.1:7071", "localhost"],
  "dev.targets": ["[targets.yaml]", "7"],
  "dev.state_dir": ["/var/lib/reflow", undefined],
}

/** A file with a line for each part of the key; the value stands in the last one. */
const fileOf = (key: string, text: string): string => {
  const names = key.split(".")
  const lines = names.map(
    (name, depth) => `${"  ".repeat(depth)}${name}:${depth === names.length - 1 ? ` ${text}` : ""}`,
  )
  return `${lines.join("\n")}\n`
}
const lineOf = (key: string): number => key.split(".").length
const variableOf = (key: string): string => `REFLOW_${key.toUpperCase().replaceAll(".", "__")}`

type Way = "file" | "environment" | "flag"
/** Where a value stands that was given by each way, for people. */
const placeOf = (way: Way, key: string): string =>
  ({ file: `reflow.yaml:${lineOf(key)}`, environment: variableOf(key), flag: `--set ${key}` })[way]

const load = (way: Way, key: string, text: string) => {
  const path = join(folder, "reflow.yaml")
  if (way === "file") writeFileSync(path, fileOf(key, text))
  const args = { file: ["--config", path], environment: [], flag: ["--set", `${key}=${text}`] }[way]
  const command = parseCommand(["config", ...args])
  if (command.kind !== "config") throw new Error("not config")
  const environment = way === "environment" ? { [variableOf(key)]: text } : {}
  return loadConfig({ settings: command.settings, environment })
}
const at = (tree: unknown, key: string): unknown =>
  key.split(".").reduce((below, name) => (below as Readonly<Record<string, unknown>>)[name], tree)

test("every key is here, and no other", () => {
  expect(Object.keys(samples)).toEqual([...leafKeys.keys()])
})

describe.each(["file", "environment", "flag"] as const)("set by %s", (way) => {
  test.each(Object.entries(samples))("%s is in effect, and reflow config tells where it came from", (key, [right]) => {
    const { config, values, sourceOf } = load(way, key, right)
    const fallback = loadConfig({ settings: { file: undefined, assignments: [] }, environment: {} })
    expect(at(config, key)).toEqual(at(load("file", key, right).config, key))
    expect(at(config, key)).not.toEqual(at(fallback.config, key))
    expect(sourceOf(key.split(".")).replace(`${folder}/`, "")).toBe(placeOf(way, key))
    const line = configReport(values, sourceOf)
      .replaceAll(`${folder}/`, "")
      .split("\n")
      .filter((each) => each.endsWith(`# ${placeOf(way, key)}`))
    expect(line).toEqual([expect.stringContaining(`${key.split(".").at(-1)}:`)])
  })

  const wrong = Object.entries(samples).flatMap(([key, [, text]]) => (text === undefined ? [] : [[key, text] as const]))
  test.each(wrong)("%s is refused as %s, with the place, the key and what is allowed", (key, text) => {
    const place = placeOf(way, key).replaceAll(".", "\\.")
    const said = () => load(way, key, text)
    expect(said).toThrow(new RegExp(`${place}: ${key.replaceAll(".", "\\.")}[\\]\\w.[]*: must (be|have) \\S`))
  })
})

test.each([...leafKeys.keys()])("%s is refused as a map where that is none, with all that it may be", (key) => {
  const { allowed = "" } = keyAt(key.split(".")) ?? {}
  expect(() => load("file", key, "{a: b}")).toThrow(`reflow.yaml:${lineOf(key)}: ${key}: must be ${allowed}`)
})
