/** The official conformance runner: a server alone, through one gateway, and through three that share only the cluster. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { describe, expect, test } from "vitest"
import { secretKind } from "../../src/api/kinds/kubernetes.ts"
import { parseKeys } from "../../src/gateway/session/session-keys.ts"
import { expectOneSession, type Place, passesScenarios } from "../support/conformance/scenarios.ts"
import { type Gateways, startGateways } from "../support/gateways.ts"
import { repositoryFile, startReflow, target } from "../support/reflow.ts"

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

  test("keeps a session that one of them has opened at every other: they seal with the keys of one Secret", async () => {
    const urls = three.urls.map((url) => `${url}/mcp/conformance`)
    await expectOneSession(urls, await three.token("alice"))
    const { namespace } = three.config.kubernetes
    const secrets = (await three.cluster.list(secretKind, { namespace })).items
    const withKeys = secrets.filter(({ data }) => parseKeys(data).length > 0)
    expect(withKeys.map(({ metadata }) => metadata.name)).toEqual([three.config.gateway.keys_secret])
  })
})
