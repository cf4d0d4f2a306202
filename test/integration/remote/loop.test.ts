/** A target whose URL leads back to the gateway, by a way that the guard cannot know, with a login that is good there. */
import { afterAll, beforeAll, expect, test } from "vitest"
import { mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import { type Gateways, startGateways } from "../../support/gateways.ts"
import { type Relay, startRelay } from "../../support/relay.ts"
import { remoteTarget, withToken } from "../../support/remote-peers.ts"
import { said } from "../../support/remote-stage.ts"

let gateways: Gateways
let relay: Relay

beforeAll(async () => {
  gateways = await startGateways(
    1,
    ["round", "there", "back"].map((name) => remoteTarget(name, withToken("http://127.0.0.1:9/mcp"))).join(""),
  )
  relay = await startRelay(gateways.urls[0] ?? "")
  const { namespace } = gateways.config.kubernetes
  for (const [name, next] of [
    ["round", "round"],
    ["there", "back"],
    ["back", "there"],
  ] as const) {
    const spec = { remote: { url: `${relay.url}/mcp/${next}` } }
    await gateways.cluster.mergePatch(mcpTargetKind, { namespace, name }, { spec })
  }
})
afterAll(async () => {
  await relay?.close()
  await gateways?.close()
})

test.each(["round", "there"])("is refused after one round (%s)", async (target) => {
  const alice = await gateways.token("alice")
  for (const name of ["round", "there", "back"])
    expect((await gateways.api("PUT", `/targets/${name}/env/me`, { TOKEN: alice }, { token: alice })).status).toBe(200)
  const answer = await said(`${gateways.urls[0]}/mcp/${target}`, alice)
  expect(answer).toMatch(/^AddressNotAllowed: remote\.url leads back to this gateway\./)
})
