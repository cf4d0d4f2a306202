/** The last part of the tutorial of docs/plugins.md, command by command, on an installation as docs/install.md has it. */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { appendFile, readFile, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { beforeAll, expect, test } from "vitest"
import { callTool } from "../../support/modern.ts"
import { eventually } from "../../support/processes.ts"
import { documented } from "../../support/tutorial.ts"
import { cluster, kubectl, makeFolder } from "../support/cluster.ts"
import { images } from "../support/images.ts"
import {
  applyFolders,
  bootstrapToken,
  gatewayHost,
  isRolledOut,
  makeRoom,
  ownNamespace,
  serviceIP,
} from "../support/install.ts"

let folder: string
let token: string

/** Runs commands of the page as a person would, whose kubectl leads to the cluster. */
const run = async (commands: string): Promise<void> => {
  const path = `${dirname(cluster.kubectl)}:${process.env.PATH}`
  const env = { ...process.env, KUBECONFIG: cluster.kubeconfig, PATH: path }
  await promisify(execFile)("sh", ["-c", `set -e\n${commands}`], { cwd: folder, env, timeout: 400_000 })
}

beforeAll(async () => {
  await makeRoom()
  await applyFolders()
  await isRolledOut()
  folder = await makeFolder()
  await writeFile(join(folder, "tenant.mjs"), documented("tenant.mjs"))
  token = await bootstrapToken()
}, 600_000)

/** The logs of all Pods of a role, also of those that come and go. */
const logsOf = async (name: "reflow-gateway" | "reflow-operator"): Promise<string> => {
  const label = `app.kubernetes.io/name=${name}`
  const names = await kubectl(["get", "pods", "-n", ownNamespace, "-l", label, "-o", "name"])
  const read = names.trim().split("\n")
  return (await Promise.all(read.map((each) => kubectl(["logs", "-n", ownNamespace, each]).catch(() => "")))).join("\n")
}

/** Lets requests in that name the gateway by its address, as those of this test do where they can. */
const letIn = async (host: string): Promise<void> => {
  const path = join(folder, "cluster.yaml")
  const config = await readFile(path, "utf8")
  await writeFile(path, config.replace("allowed_hosts: [", `allowed_hosts: ["${host}", `))
}

/** What the gateway says to the administrator, whose token has no claims, about the target of the tutorial. */
const ask = async (): Promise<{ readonly status: number; readonly text: string }> => {
  const response = await callTool(`http://${await gatewayHost()}/mcp/everything`, token, "echo")
  return { status: response.status, text: await response.text() }
}

const denied = { status: 200, text: expect.stringContaining("no usable claim 'tenant'") }

test("a plugin that lies beside the configuration is loaded by both roles, and decides", async () => {
  await run(documented("fetch"))
  await letIn(await serviceIP())
  const digest = createHash("sha256").update(documented("tenant.mjs")).digest("hex")
  await appendFile(join(folder, "cluster.yaml"), `\n${documented("cluster.yaml").replace(/0{64}/, digest)}`)
  await run(documented("deploy"))
  for (const name of ["reflow-gateway", "reflow-operator"] as const)
    expect(await logsOf(name)).toMatch(/\/etc\/reflow\/tenant\.mjs.*"plugin loaded"/)
  const target = {
    name: "everything",
    transport_type: "kubernetes",
    image: images.notes.name,
    port: 8080,
    statefulness: "stateful",
    isolation_boundary: "per_user",
    subject_key: { strategy: "tenant/tenant" },
  }
  const made = await fetch(`http://${await gatewayHost()}/api/targets`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(target),
  })
  expect(made.status, await made.text()).toBe(201)
  // the other replica may learn of it a moment later
  await expect.poll(ask, { timeout: 30_000 }).toEqual(denied)
}, 600_000)

test("another file than the one whose digest is configured ends the new Pods with the reason, and the old ones serve on", async () => {
  const changed = `${await readFile(join(folder, "tenant.mjs"), "utf8")}// changed\n`
  await writeFile(join(folder, "tenant.mjs"), changed)
  const commands = documented("deploy").split("\n")
  await run(commands.filter((line) => !line.includes("rollout status")).join("\n"))
  const digest = createHash("sha256").update(changed).digest("hex")
  await eventually(
    async () =>
      (await logsOf("reflow-gateway")).includes(`/etc/reflow/tenant.mjs has the SHA-256 ${digest}, not the one`),
    120_000,
    "a new Pod says why it does not start",
  )
  expect(await ask()).toEqual(denied)
}, 300_000)
