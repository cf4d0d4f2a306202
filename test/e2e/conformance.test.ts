/** The official conformance runner: a server alone, through one gateway, and through three that share only the cluster. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { secretKind } from "../../src/api/secret.ts"
import { parseKeys } from "../../src/gateway/session-keys.ts"
import { type Revision, readScenarios, revisions } from "../support/conformance/requirements.ts"
import { type Conformance, runConformance } from "../support/conformance/run.ts"
import { type Gateways, startGateways } from "../support/gateways.ts"
import { initialize, post, repositoryFile, startReflow, target } from "../support/reflow.ts"

/** What the runner is pointed at, and how that is ended. */
type Place = { readonly url: string; readonly token?: string; close(): Promise<unknown> }

const server = repositoryFile("test/fixtures/servers/conformance/server.mjs")
const targets = target("conformance", ["node", server])

const startAlone = async (): Promise<Place> => {
  const child = spawn(process.execPath, [server], { env: { PORT: "0" }, stdio: ["ignore", "pipe", "inherit"] })
  const [line] = await once(createInterface({ input: child.stdout }), "line")
  const port = /\d+$/.exec(line)?.[0]
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    close: async () => {
      child.kill()
      await once(child, "exit")
    },
  }
}

const startOne = async (): Promise<Place> => {
  const reflow = await startReflow({ targets })
  return { url: `${reflow.url}/mcp/conformance`, token: await reflow.token("alice"), close: reflow.stop }
}

/** Runs all scenarios of both revisions, once each, and makes a test of every one. */
const passesScenarios = (start: () => Promise<Place>): void => {
  const results = new Map<Revision, Conformance>()
  let place: Place
  beforeAll(async () => {
    place = await start()
    const run = async (revision: Revision) => results.set(revision, await runConformance({ ...place, revision }))
    await Promise.all(revisions.map(run))
  })
  afterAll(async () => {
    await place?.close()
  })

  describe.each(revisions)("as a server of %s", (revision) => {
    const { required, unscored } = readScenarios(revision)
    test.each(required)("passes %s", (scenario) => {
      expect(results.get(revision)?.faults(scenario), scenario).toEqual([])
    })
    test.each(unscored)("passes %s, which does not count", (scenario) => {
      expect(results.get(revision)?.faults(scenario), scenario).toEqual([])
    })
    test("is told so by the runner", () => {
      const { code, output } = results.get(revision) ?? {}
      expect(code, output).toBe(0)
    })
  })
}

describe("a server alone", () => passesScenarios(startAlone))

describe("a server through one gateway", () => passesScenarios(startOne))

describe("a server through three gateways by turns", () => {
  let three: Gateways
  passesScenarios(async () => {
    three = await startGateways(3, targets)
    return { url: `${three.balancer.url}/mcp/conformance`, token: await three.token("alice"), close: three.close }
  })

  test("is served by each of them", () => {
    expect(three.balancer.served.map((count) => count > 50)).toEqual([true, true, true])
  })

  test("keeps a session that one gateway has opened at every other, by one Secret with keys", async () => {
    const [first, ...others] = three.urls.map((url) => `${url}/mcp/conformance`)
    const token = await three.token("alice")
    const opened = await post(first ?? "", token, initialize())
    const session = opened.headers.get("mcp-session-id") ?? ""
    expect(await opened.text()).toContain("serverInfo")
    for (const url of others) {
      const answer = await post(url, token, { jsonrpc: "2.0", id: 2, method: "ping" }, { "mcp-session-id": session })
      expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining('"result":{}')])
    }
    const { namespace } = three.config.kubernetes
    const secrets = (await three.cluster.list(secretKind, { namespace })).items
    const withKeys = secrets.filter(({ data }) => parseKeys(data).length > 0)
    expect(withKeys.map(({ metadata }) => metadata.name)).toEqual([three.config.gateway.keys_secret])
  })
})
