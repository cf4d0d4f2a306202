/** Small npm packages for Pods: servers without dependencies, and packages with every fault that one can have. */
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import type { NpmPackage } from "../../support/npm-registry.ts"
import { repositoryFile } from "../../support/reflow.ts"

const text = (path: string): string => readFileSync(repositoryFile(path), "utf8")

/** A first line that an operating system needs, and npm's own link to a program has. */
const program = (source: string): string => `#!/usr/bin/env node\n${source}`

const stdio = program(text("test/fixtures/images/stdio.mjs"))
const http = program(text("test/fixtures/images/server.mjs"))

/**
 * Runs while a package is installed, if that is allowed: writes down its surroundings, and tries what it must not be able
 * to do. The server's tool `surroundings` tells it later.
 */
const observer = `
const { readFileSync, readdirSync, writeFileSync } = require("node:fs")
const attempt = (act) => {
  try {
    return act()
  } catch (error) {
    return String(error.code)
  }
}
writeFileSync(require("node:path").join(__dirname, "surroundings.json"), JSON.stringify({
  uid: process.getuid(),
  gid: process.getgid(),
  env: process.env,
  // the installer, and the package manager that it started
  first: attempt(() => readFileSync("/proc/1/environ", "utf8").split("\\0")),
  parent: attempt(() => readFileSync("/proc/" + process.ppid + "/environ", "utf8").split("\\0")),
  written: attempt(() => writeFileSync("/written", "")) ?? "written",
  token: attempt(() => readdirSync("/var/run/secrets/kubernetes.io")),
  root: readdirSync("/"),
}))`

const telling = stdio.replace(
  "const tools = {",
  `import { readFileSync } from "node:fs"
const tools = {
  surroundings: () => readFileSync(new URL("surroundings.json", import.meta.url), "utf8"),`,
)

/** Makes the file \`made.mjs\` from \`server.mjs\`. */
const maker = `require("node:fs").copyFileSync(__dirname + "/server.mjs", __dirname + "/made.mjs")`

/** What runs before the package is used, if scripts are allowed. */
const scripts = { scripts: { postinstall: "node postinstall.cjs" } }
const type = { type: "module" }

/** The packages, by a short name; each in the version 1.0.0. */
export const npmPackages = {
  whoami: { name: "@org/mcp-whoami", manifest: { ...type, bin: "server.mjs" }, files: { "server.mjs": stdio } },
  http: {
    name: "mcp-http",
    manifest: { ...type, ...scripts, bin: "server.mjs" },
    // long enough for Kubernetes, which tells the times of containers in full seconds
    files: { "server.mjs": http, "postinstall.cjs": "setTimeout(() => {}, 2_000)" },
  },
  observing: {
    name: "mcp-observing",
    manifest: { ...type, ...scripts, bin: "server.mjs" },
    files: { "server.mjs": telling, "postinstall.cjs": observer },
  },
  library: { name: "mcp-library", manifest: { ...type, main: "server.mjs" }, files: { "server.mjs": stdio } },
  madeProgram: {
    name: "mcp-made-program",
    manifest: { ...type, ...scripts, bin: "made.mjs" },
    files: { "server.mjs": stdio, "postinstall.cjs": maker },
  },
  madeModule: {
    name: "mcp-made-module",
    manifest: { ...type, ...scripts, bin: "program.mjs" },
    files: { "program.mjs": program(`import "./made.mjs"`), "server.mjs": stdio, "postinstall.cjs": maker },
  },
  slow: {
    name: "mcp-slow",
    manifest: { ...type, ...scripts, bin: "server.mjs" },
    files: { "server.mjs": stdio, "postinstall.cjs": "setTimeout(() => {}, 600_000)" },
  },
  large: {
    name: "mcp-large",
    manifest: { ...type, bin: "server.mjs" },
    // what is random cannot be compressed to less than it was
    files: { "server.mjs": stdio, data: randomBytes(12 * 2 ** 20).toString("base64") },
  },
  tampered: { name: "mcp-tampered", manifest: { ...type, bin: "server.mjs" }, files: { "server.mjs": stdio } },
  /** Published by a test, once it was asked for in vain. */
  late: { name: "mcp-late", manifest: { ...type, bin: "server.mjs" }, files: { "server.mjs": stdio } },
  private: { name: "@private/mcp-whoami", manifest: { ...type, bin: "server.mjs" }, files: { "server.mjs": stdio } },
} as const satisfies Readonly<Record<string, Omit<NpmPackage, "version">>>

/** Short name of a package. */
export type NpmPackageName = keyof typeof npmPackages
