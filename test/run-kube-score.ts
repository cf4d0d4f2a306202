/**
 * `npm run test:score`: kube-score, with all its checks, on crd/, rbac/, manager/ and on the Pod and Service of an
 * instance. A finding is a failure unless docs/security.md answers it; so is an answer to what is no finding any more.
 * Needs Go, by which kube-score is built once, and a proxy of Go modules that answers; without them it is skipped loudly.
 *
 * Prints, last, `N passed, N failed`: one for each object's check that was made.
 */
import { spawnSync } from "node:child_process"
import { existsSync, globSync, mkdirSync, readFileSync } from "node:fs"
import { homedir } from "node:os"
import { join, resolve } from "node:path"
import { namespaces } from "../src/generate.ts"
import { answeredFindings, instanceObjects, readVerdict } from "./support/kube-score.ts"

const root = resolve(import.meta.dirname, "..")
const version = "v1.20.0"
/** Oldest Kubernetes that docs/install.md names. */
const kubernetes = "v1.32"

const run = (command: string, args: readonly string[], options: { env?: NodeJS.ProcessEnv; input?: string } = {}) =>
  spawnSync(command, args, { cwd: root, encoding: "utf8", timeout: 600_000, maxBuffer: 2 ** 26, ...options })

/** Says why it could not run, and ends: that is neither passed nor failed. */
const giveUp = (why: string): never => {
  console.warn(`!!! KUBE-SCORE SKIPPED: ${why} !!!`)
  console.log("0 passed, 0 failed")
  process.exit(0)
}

/** The pinned kube-score, built once and kept between runs. */
const ensureKubeScore = (): string => {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "reflow-gateway", `kube-score-${version}`)
  const program = join(cache, "kube-score")
  if (existsSync(program)) return program
  mkdirSync(cache, { recursive: true })
  const env = { ...process.env, GOBIN: cache, GOMAXPROCS: "2" }
  const module = `github.com/zegl/kube-score/cmd/kube-score@${version}`
  const { error, status, stderr } = run("nice", ["-n", "19", "go", "install", module], { env })
  if (error !== undefined || status !== 0 || !existsSync(program))
    giveUp(`it cannot be built with Go: ${error?.message ?? stderr.trim().slice(-1_000)}`)
  return program
}

const manifests = globSync("{crd,rbac,manager}/*.yaml", { cwd: root }).sort()
const input = instanceObjects(namespaces.instances)
  .map((object) => JSON.stringify(object))
  .join("\n---\n")
const options = ["--output-format", "json", "--all-default-optional", "--kubernetes-version", kubernetes]
const { stdout, stderr } = run(ensureKubeScore(), ["score", ...options, ...manifests, "-"], { input })

const { made, findings } = readVerdict(stdout.trim() === "" ? JSON.stringify(stderr) : stdout)
const answered = answeredFindings(readFileSync(join(root, "docs/security.md"), "utf8"))
const open = findings.filter((finding) => !answered.includes(finding))
const stale = answered.filter((finding) => !findings.includes(finding))
for (const finding of open) console.log(`FAILED: ${finding}: mend it, or answer it in docs/security.md`)
for (const finding of stale) console.log(`FAILED: ${finding}: docs/security.md answers what is no finding any more`)
console.log(`${made} checks of ${manifests.length} files and an instance; ${findings.length} findings are answered`)
const failed = open.length + stale.length
console.log(`${made - open.length} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
