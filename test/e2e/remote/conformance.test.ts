/** The official conformance runner and a server that somebody else runs: through one gateway, and through three. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { expectOneSession, passesScenarios } from "../../support/conformance/scenarios.ts"
import { type Gateways, startGateways } from "../../support/gateways.ts"
import { repositoryFile, startReflow } from "../../support/reflow.ts"
import { type RemoteServer, remoteSpec, remoteTarget, startRemoteServer } from "../../support/remote-peers.ts"

let server: RemoteServer
beforeAll(async () => {
  server = await startRemoteServer(["node", repositoryFile("test/fixtures/servers/conformance/server.mjs")])
})
afterAll(() => server?.close())

const targets = () => remoteTarget("conformance", remoteSpec(server.url))

describe("a remote server through one gateway", () => {
  passesScenarios(async () => {
    const reflow = await startReflow({ targets: targets() })
    return { url: `${reflow.url}/mcp/conformance`, token: await reflow.token("alice"), close: reflow.stop }
  })
})

describe("a remote server through three gateways by turns", () => {
  let three: Gateways
  passesScenarios(async () => {
    three = await startGateways(3, targets())
    return { url: `${three.balancer.url}/mcp/conformance`, token: await three.token("alice"), close: three.close }
  })

  test("is served by each of them", () => {
    expect(three.balancer.served.map((count) => count > 50)).toEqual([true, true, true])
  })

  test("keeps a session that one of them has opened at every other", async () => {
    await expectOneSession(
      three.urls.map((url) => `${url}/mcp/conformance`),
      await three.token("alice"),
    )
  })
})
