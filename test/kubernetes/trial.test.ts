/** POST /api/targets/{id}/test on a real kubelet: a server that has to be started first, and one that cannot be. */
import { beforeAll, describe, expect, test } from "vitest"
import { masked } from "../../src/credentials/mask.ts"
import { startSteps } from "../../src/signals/start.ts"
import { cluster, kubectlJson } from "./support/cluster.ts"
import { ensureImages, images } from "./support/images.ts"
import { type Installation, makeInstallation, readBootstrapToken, startRole } from "./support/role.ts"

let place: Installation
let url = ""
let token = ""

beforeAll(async () => {
  await ensureImages(["dual", "github"], cluster)
  place = await makeInstallation("trial")
  const namespace = place.instances
  const operator = startRole("operator", { kubeconfig: await place.kubeconfig("operator"), namespace, until: "file" })
  const gateway = startRole("gateway", { kubeconfig: await place.kubeconfig("gateway"), namespace, until: "file" })
  url = String((await gateway.line("serving")).url)
  await operator.line("leading")
  token = await readBootstrapToken(place)
}, 300_000)

const api = async (method: string, path: string, body: object = {}) => {
  const response = await fetch(`${url}/api${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(method === "GET" ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  expect(response.ok, `${method} ${path}: ${text}`).toBe(true)
  return JSON.parse(text)
}
const makeTarget = (name: string, more: object = {}) =>
  api("POST", "/targets", { name, image: images.dual.name, port: 8080, credentials: [{ name: "TOKEN" }], ...more })

describe("the test of a target", () => {
  test("that nobody has used yet tells what its server is and can do, and how long each step of its start took", async () => {
    await makeTarget("cold")
    const began = performance.now()
    const first = await api("POST", "/targets/cold/test")
    const seconds = (performance.now() - began) / 1_000
    expect(first).toMatchObject({
      ok: true,
      started: true,
      era: "modern",
      protocol_version: "2026-07-28",
      server: { name: "dual", version: "1.0.0" },
      tools: expect.arrayContaining(["echo", "env", "slow"]),
    })
    expect(Object.keys(first.timings).toSorted()).toEqual(startSteps.filter((step) => step !== "install").toSorted())
    const taken = (Object.values(first.timings) as number[]).reduce((sum, each) => sum + each, 0)
    // the kubelet and the API server tell whole seconds
    expect(taken).toBeLessThan(seconds + startSteps.length)
    expect(first.handshake_seconds).toBeLessThan(seconds)
    const instance = await kubectlJson(["get", "mcpi", first.instance, "-n", place.instances])
    expect(instance).toMatchObject({ status: { phase: "Ready", timings: first.timings } })

    const again = await api("POST", "/targets/cold/test")
    expect(again).toMatchObject({ ok: true, started: false, instance: first.instance, timings: first.timings })
  })

  test("whose server ends at once tells why, and its last lines without its secrets", async () => {
    const program = "console.error('no database for ' + process.env.TOKEN); process.exit(3)"
    await makeTarget("broken", { command: ["/usr/local/bin/node", "-e", program] })
    await api("PUT", "/targets/broken/env/me", { TOKEN: "canary-of-trial" })
    const told = await api("POST", "/targets/broken/test")
    expect(told).toMatchObject({ ok: false, error: { step: "start", code: "InstanceFailed", reason: "CrashLoop" } })
    expect(told.error.detail).toContain("exit code 3")
    expect(told.error.log).toContain(`no database for ${masked}`)
    expect(JSON.stringify(told)).not.toContain("canary")
  })

  test("whose image is nowhere tells so", async () => {
    await makeTarget("nowhere", { image: "registry.invalid/nothing:1" })
    const told = await api("POST", "/targets/nowhere/test")
    expect(told).toMatchObject({ ok: false, error: { step: "start", code: "InstanceFailed", log: [] } })
    expect(told.error.reason).toMatch(/ImagePull/)
    expect(told.error.detail).toContain("registry.invalid/nothing:1")
  })

  test("whose server does not speak MCP tells what it said", async () => {
    const program = "require('http').createServer((_, to) => to.end('<h1>hello</h1>')).listen(process.env.PORT)"
    await makeTarget("web", { command: ["/usr/local/bin/node", "-e", program] })
    const told = await api("POST", "/targets/web/test")
    expect(told).toMatchObject({ ok: false, error: { step: "handshake" } })
    expect(told.error.detail).toContain("initialize")
  })
})
