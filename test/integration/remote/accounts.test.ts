/** Whose account a server that somebody else runs sees, through three gateways, and from when on. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import { connectV1, connectV2 } from "../../support/mcp-peers.ts"
import { answerOf, callTool } from "../../support/modern.ts"
import { eventually } from "../../support/processes.ts"
import { initialize, post } from "../../support/reflow.ts"
import { withToken } from "../../support/remote-peers.ts"
import { type RemoteStage, said, startRemoteStage } from "../../support/remote-stage.ts"

const remote = { caSecret: "test-ca" }
const accounts = {
  ...{ "key-of-alice": "alice", "key-of-bob": "bob", "new-key-of-alice": "alice anew", "key-of-all": "everybody" },
  ...{ "key-of-eng": "engineers", "key-of-dora": "dora" },
}

let stage: RemoteStage
let alice: string
let bob: string

beforeAll(async () => {
  stage = await startRemoteStage({
    accounts,
    targets: (url) => ({
      own: withToken(url, { remote }),
      moving: withToken(url, { remote }),
      common: withToken(url, { remote, isolationBoundary: "shared" }),
      needy: withToken(url, { remote }),
      "needy-common": withToken(url, { remote, isolationBoundary: "shared" }),
      distrusted: withToken(url),
      named: withToken(url.replace("127.0.0.1", "localhost"), { remote }),
      partial: withToken(url, {
        credentials: [{ name: "TOKEN", required: true }, { name: "WORKSPACE" }],
        remote: {
          ...remote,
          headers: [
            { name: "Authorization", value: "Bearer ${TOKEN}" },
            { name: "X-Workspace", value: "of ${WORKSPACE}" },
            { name: "X-Fixed", value: "costs $$5" },
            { name: "User-Agent", value: "acme" },
          ],
        },
      }),
    }),
  })
  alice = await stage.gateways.token("alice")
  bob = await stage.gateways.token("bob", { groups: ["eng"] })
})
afterAll(() => stage?.close())

const replicas = [0, 1, 2] as const
/** What each of the gateways makes of a user's call. */
const everywhere = (target: string, token: string): Promise<string[]> =>
  Promise.all(replicas.map((each) => said(stage.at(target, each), token)))
const all = (answer: string) => replicas.map(() => answer)

/** Resolves when each gateway says so; fails if one does not within a second from now. */
const withinASecond = async (target: string, token: string, answer: string): Promise<void> => {
  const before = performance.now()
  const isNew = async () => (await everywhere(target, token)).every((each) => each === answer)
  await eventually(isNew, 1_000, `every gateway says ${answer}`)
  expect(performance.now() - before).toBeLessThan(1_500)
}

describe("two users with a token each", () => {
  beforeAll(async () => {
    await stage.set("own", { TOKEN: "key-of-alice" }, { token: alice })
    await stage.set("own", { TOKEN: "key-of-bob" }, { token: bob })
  })

  test("see their own account, at every gateway, in calls of the modern era", async () => {
    expect(await everywhere("own", alice)).toEqual(all("alice"))
    expect(await everywhere("own", bob)).toEqual(all("bob"))
  })

  test.each([
    ["the 1.x client", connectV1],
    ["the 2.x client in auto mode", connectV2.bind(undefined, "auto")],
    ["the 2.x client with a session", connectV2.bind(undefined, "legacy")],
  ] as const)("see their own account with %s, whose requests go to the gateways by turns", async (_, connect) => {
    const peers = await Promise.all([alice, bob].map((token) => connect(stage.at("own"), token)))
    for (let turn = 0; turn < 4; turn++) {
      const texts = await Promise.all(peers.map(async (peer) => (await peer.call("whoami")).text))
      expect(texts).toEqual(["alice", "bob"])
    }
    await Promise.all(peers.map((peer) => peer.close()))
  })

  test("never share a connection, and each goes on with their own", async () => {
    await stage.server.forgetSeen()
    const turns = Array.from({ length: 5 }, (_, index) => index)
    for (const _ of turns) for (const token of [alice, bob]) await said(stage.at("own", 0), token)
    await Promise.all([...turns, ...turns].map((turn) => said(stage.at("own", 0), turn % 2 === 0 ? alice : bob)))
    const seen = await stage.server.seen()
    const [hers, his] = ["alice", "bob"].map((name) => seen.filter(({ account }) => account === name))
    const ports = (requests = seen) => new Set(requests.map(({ connection }) => connection))
    expect([...ports(hers)].filter((port) => ports(his).has(port))).toEqual([])
    expect(ports(hers?.slice(0, 5)).size, "one after the other: one connection").toBe(1)
  })

  test("make 50 calls each at once, none of which sees the other's account", async () => {
    const fifty = (token: string) => Array.from({ length: 50 }, () => said(stage.at("own"), token))
    const [hers, his] = await Promise.all([Promise.all(fifty(alice)), Promise.all(fifty(bob))])
    expect([new Set(hers), new Set(his)]).toEqual([new Set(["alice"]), new Set(["bob"])])
  })

  test("have no instances, and nothing runs in the cluster for them", async () => {
    const { status, body } = await stage.gateways.api("GET", "/targets/own/instances")
    expect([status, body.items]).toEqual([200, []])
    expect((await stage.gateways.api("GET", "/instances", undefined, { token: alice })).body.items).toEqual([])
  })
})

describe("a token that is changed by the REST API", () => {
  test("counts at every gateway within a second, whichever wrote it", async () => {
    await stage.set("moving", { TOKEN: "key-of-alice" }, { token: alice })
    await withinASecond("moving", alice, "alice")
    for (const replica of replicas) {
      const [key, name] = replica % 2 === 0 ? ["new-key-of-alice", "alice anew"] : ["key-of-alice", "alice"]
      await stage.set("moving", { TOKEN: key }, { token: alice, replica })
      await withinASecond("moving", alice, name ?? "")
    }
  })

  test("has connections of its own: none that the one before has opened", async () => {
    await stage.set("moving", { TOKEN: "key-of-alice" }, { token: alice })
    await withinASecond("moving", alice, "alice")
    await stage.server.forgetSeen()
    await said(stage.at("moving", 0), alice)
    await stage.set("moving", { TOKEN: "new-key-of-alice" }, { token: alice, replica: 0 })
    await withinASecond("moving", alice, "alice anew")
    const seen = (await stage.server.seen()).filter(({ account }) => account?.startsWith("alice"))
    const by = new Map(seen.map(({ connection }) => [connection, new Set<string | undefined>()]))
    for (const { connection, account } of seen) by.get(connection)?.add(account)
    expect([...by.values()].filter(({ size }) => size !== 1)).toEqual([])
  })

  test("counts at once at the gateway that wrote it", async () => {
    for (const [key, name] of [
      ["new-key-of-alice", "alice anew"],
      ["key-of-alice", "alice"],
    ] as const) {
      await stage.set("moving", { TOKEN: key }, { token: alice, replica: 1 })
      await eventually(async () => (await said(stage.at("moving", 1), alice)) === name, 1_000, name)
    }
  })

  test("is changed for its user alone", async () => {
    await stage.set("moving", { TOKEN: "key-of-bob" }, { token: bob })
    await stage.set("moving", { TOKEN: "new-key-of-alice" }, { token: alice })
    await withinASecond("moving", alice, "alice anew")
    expect(await everywhere("moving", bob)).toEqual(all("bob"))
  })

  test("that is removed is missing at every gateway within a second, and one that is set anew is there", async () => {
    const removed = await stage.gateways.api("DELETE", "/targets/moving/env/me", undefined, { token: alice })
    expect(removed.status).toBeLessThan(300)
    const isMissing = async () =>
      (await everywhere("moving", alice)).every((each) => each.startsWith("CredentialMissing: "))
    await eventually(isMissing, 1_000, "it is missing everywhere")
    await stage.set("moving", { TOKEN: "key-of-alice" }, { token: alice })
    await withinASecond("moving", alice, "alice")
  })

  test("of a wider scope counts for whom no narrower one concerns", async () => {
    await stage.set("moving", { TOKEN: "key-of-eng" }, { scope: "group/dev/eng" })
    const carol = await stage.gateways.token("carol", { groups: ["eng"] })
    await withinASecond("moving", carol, "engineers")
    expect(await everywhere("moving", bob)).toEqual(all("bob"))
    await stage.set("moving", { TOKEN: "key-of-dora" }, { token: carol })
    await withinASecond("moving", carol, "dora")
    await stage.gateways.api("DELETE", "/targets/moving/env/me", undefined, { token: carol })
    await withinASecond("moving", carol, "engineers")
  })

  test("leaves the target's version as it is: a note of the change is no change of what it says", async () => {
    const { namespace } = stage.gateways.config.kubernetes
    const read = () => stage.gateways.cluster.get(mcpTargetKind, { namespace, name: "moving" })
    const before = await read()
    await stage.set("moving", { TOKEN: "key-of-alice" }, { token: alice })
    const after = await read()
    expect(after?.metadata.generation).toBe(before?.metadata.generation)
    expect(after?.spec).toEqual(before?.spec)
    expect(JSON.stringify(after)).not.toContain("key-of-alice")
  })
})

describe("a required credential that is missing", () => {
  test("is named to both eras, with what it is and where to set it; once it is set, the call works", async () => {
    const erin = await stage.gateways.token("erin")
    const url = stage.at("needy")
    for (const response of [await callTool(url, erin, "whoami"), await post(url, erin, initialize())]) {
      expect(response.status).toBe(200)
      const { id, error } = await answerOf(response)
      expect(id).toBe(1)
      expect(error.data).toMatchObject({
        code: "CredentialMissing",
        names: ["TOKEN"],
        url: `${stage.gateways.balancer.url}/api/targets/needy/env/me`,
      })
      expect(error.message).toContain("TOKEN: An API token of the account.")
    }
    expect((await stage.server.seen()).filter(({ headers }) => headers.authorization === undefined)).toEqual([])
    await stage.set("needy", { TOKEN: "key-of-dora" }, { token: erin })
    await withinASecond("needy", erin, "dora")
  })

  test("of a shared target is set by an administrator in the scope default, and is everybody's from then on", async () => {
    const { error } = await answerOf(await callTool(stage.at("needy-common"), alice, "whoami"))
    expect(error.data).toMatchObject({
      code: "CredentialMissing",
      url: `${stage.gateways.balancer.url}/api/targets/needy-common/env/default`,
    })
    await stage.set("needy-common", { TOKEN: "key-of-all" }, { scope: "default" })
    await withinASecond("needy-common", alice, "everybody")
    expect(await everywhere("needy-common", bob)).toEqual(all("everybody"))
  })
})

test("an administrator's value is everybody's at a shared target, and nobody may set one of their own there", async () => {
  await stage.set("common", { TOKEN: "key-of-all" }, { scope: "default" })
  await withinASecond("common", alice, "everybody")
  expect(await everywhere("common", bob)).toEqual(all("everybody"))
  const refused = await stage.gateways.api("PUT", "/targets/common/env/me", { TOKEN: "key-of-alice" }, { token: alice })
  expect(refused).toMatchObject({ status: 422, body: { code: "ScopeTooNarrow" } })
})

test("a header is left out without the value of its optional credential, and others are sent as the target says", async () => {
  const last = async () => (await stage.server.seen()).findLast(({ tool }) => tool === "whoami")?.headers
  await stage.set("partial", { TOKEN: "key-of-alice" }, { token: alice })
  await withinASecond("partial", alice, "alice")
  expect(await last()).toMatchObject({ "x-fixed": "costs $5" })
  expect(await last()).not.toHaveProperty("x-workspace")
  await stage.set("partial", { TOKEN: "key-of-alice", WORKSPACE: "acme" }, { token: alice })
  const isSent = async () => {
    await everywhere("partial", alice)
    return (await last())?.["x-workspace"] === "of acme"
  }
  await eventually(isSent, 1_000, "the header is sent")
})

test("a caller's own header does not stand beside one that the target sets, in whatever case", async () => {
  await stage.set("partial", { TOKEN: "key-of-alice", WORKSPACE: "acme" }, { token: alice })
  await withinASecond("partial", alice, "alice")
  for (const [name, value] of [
    ["x-workspace", "of evil"],
    ["X-WORKSPACE", "of evil"],
    ["X-Fixed", "evil"],
    // one that the gateway passes on where a target does not set it
    ["User-Agent", "evil"],
  ] as const) {
    await (await post(stage.at("partial"), alice, initialize(), { [name]: value })).text()
    const { headers = {}, repeated } = (await stage.server.seen()).at(-1) ?? {}
    expect(repeated).toEqual([])
    expect(headers).toMatchObject({ "x-workspace": "of acme", "x-fixed": "costs $5", "user-agent": "acme" })
  }
})

test("a value that would break a header out is refused, by name and without itself", async () => {
  const mallory = await stage.gateways.token("mallory")
  for (const value of ["x\r\nX-Own: yes", "x\nX-Own: yes", "x\0", "x\u0100"]) {
    const { status } = await stage.gateways.api("PUT", "/targets/own/env/me", { TOKEN: value }, { token: mallory })
    // either where it is set or where it is used
    if (status < 300) {
      await eventually(
        async () => !(await said(stage.at("own"), mallory)).startsWith("CredentialMissing"),
        1_000,
        "set",
      )
      const text = await said(stage.at("own"), mallory)
      expect(text).toContain("TOKEN")
      expect(text).not.toContain("X-Own")
    }
  }
  expect((await stage.server.seen()).filter(({ headers }) => headers["x-own"] !== undefined)).toEqual([])
})

describe("the certificate of the server", () => {
  test("of a CA that the target does not name is not trusted, and the answer says so", async () => {
    await stage.set("distrusted", { TOKEN: "key-of-alice" }, { token: alice })
    const isSet = async () => !(await said(stage.at("distrusted"), alice)).startsWith("CredentialMissing")
    await eventually(isSet, 1_000, "the token is set")
    const before = (await stage.server.seen()).length
    expect(await said(stage.at("distrusted"), alice)).toMatch(/^UpstreamUntrusted: .*certificate/i)
    expect(await stage.server.seen()).toHaveLength(before)
  })

  test("may be for a name as well as for an address", async () => {
    await stage.set("named", { TOKEN: "key-of-alice" }, { token: alice })
    await withinASecond("named", alice, "alice")
  })
})
