/**
 * A server that somebody else runs, behind two gateways and an operator on a real API server, with the rights of rbac/ and
 * no more: whose account it sees, from when on, and that nothing of it or of a credential is in the cluster.
 */
import { createHash } from "node:crypto"
import { networkInterfaces } from "node:os"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { scopeSecretName } from "../../src/api/names.ts"
import { findCanaries, makeCanary } from "../support/canary.ts"
import { makeCA } from "../support/certificates.ts"
import { legacyCall, openSession, sessionAs } from "../support/legacy.ts"
import { connectV1, connectV2 } from "../support/mcp-peers.ts"
import { answerOf, callTool } from "../support/modern.ts"
import { eventually } from "../support/processes.ts"
import { type AccountServer, remoteSpec, startAccountServer, withToken } from "../support/remote-peers.ts"
import { said } from "../support/remote-stage.ts"
import { kubectl, kubectlJson } from "./support/cluster.ts"
import { type Followed, follow } from "./support/followed.ts"
import { type Installation, makeInstallation, type RoleProcess, sample, startRole } from "./support/role.ts"

/** An address of this machine that is not loopback: gateways may go there only because it is allowed. */
const address =
  Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1"

const keys = {
  alice: makeCanary("alice's"),
  next: makeCanary("alice's next"),
  edited: makeCanary("alice's, by kubectl"),
  bob: makeCanary("bob's"),
  all: makeCanary("everybody's"),
}
const tokens = { root: "token-of-the-administrator", alice: "token-of-alice-here", bob: "token-of-bob-here" }
const users = Object.entries(tokens).map(([subject, token]) => ({
  ...{ name: subject, subject, sha256: createHash("sha256").update(token).digest("hex") },
  ...{ roles: subject === "root" ? ["admin"] : [], for: ["mcp", "api"] },
}))

let place: Installation
let server: AccountServer
let operator: RoleProcess
let gateways: readonly RoleProcess[]
let urls: readonly string[]
let followed: readonly Followed[]

const at = (target: string, index: number) => `${urls[index]}/mcp/${target}`
const both = [0, 1] as const

const apply = (...objects: readonly object[]): Promise<string> =>
  kubectl(["apply", "-n", place.instances, "-f", "-"], {
    input: JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }),
  })
const targetOf = (name: string, spec: object) => ({
  ...{ apiVersion: "mcp.reflow.io/v1alpha1", kind: "MCPTarget", metadata: { name } },
  spec,
})

const api = async (
  method: string,
  path: string,
  { as = tokens.root, body, by = 0 }: { as?: string; body?: object; by?: number },
) => {
  const response = await fetch(`${urls[by]}/api${path}`, {
    method,
    headers: { authorization: `Bearer ${as}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  expect(response.status, `${method} ${path}: ${text}`).toBeLessThan(300)
  return text === "" ? undefined : JSON.parse(text)
}

/** Sets a token at one gateway; resolves when both use it, and fails if that takes longer than a second. */
const login = async (target: string, { value }: { value: string }, who: "alice" | "bob", name: string, by = 0) => {
  await api("PUT", `/targets/${target}/env/me`, { as: tokens[who], body: { TOKEN: value }, by })
  const isUsed = async () => {
    const texts = await Promise.all(both.map((each) => said(at(target, each), tokens[who])))
    return texts.every((text) => text === name)
  }
  await eventually(isUsed, 1_000, `both gateways say ${name}`)
}

beforeAll(async () => {
  const ca = makeCA()
  const accounts = Object.fromEntries(Object.entries(keys).map(([name, { value }]) => [value, name]))
  server = await startAccountServer({ accounts, tls: ca.issue([address]), host: address })
  place = await makeInstallation("remote-calls")
  const namespace = place.instances
  followed = ["mcptargets", "events", "mcpinstances", "pods"].map((plural) => follow(plural, namespace))
  const set = {
    ...{ "log.level": "debug", "auth.tokens": JSON.stringify(users) },
    "remote.allow_networks": JSON.stringify([`${address}/32`]),
  }
  const start = async (role: "operator" | "gateway") =>
    startRole(role, { kubeconfig: await place.kubeconfig(role), namespace, set, until: "file" })
  operator = await start("operator")
  gateways = await Promise.all([start("gateway"), start("gateway")])
  urls = (await Promise.all(gateways.map((each) => each.line("serving")))).map(({ url }) => String(url))
  await operator.line("leading")
  const remote = { caSecret: "corporate-ca" }
  await apply(
    { apiVersion: "v1", kind: "Secret", metadata: { name: "corporate-ca" }, stringData: { "ca.crt": ca.cert } },
    targetOf("own", withToken(server.url, { remote })),
    targetOf("calm", withToken(server.url, { remote, statefulness: "stateless" })),
    targetOf("common", withToken(server.url, { remote, isolationBoundary: "shared" })),
    targetOf("distrusted", remoteSpec(server.url)),
    targetOf("inside", remoteSpec("https://kubernetes.default.svc/mcp")),
    targetOf("metadata", remoteSpec("https://169.254.169.254/mcp")),
  )
  const isThere = async () => {
    const texts = await Promise.all(both.map((each) => said(at("metadata", each), tokens.alice)))
    return texts.every((text) => !text.startsWith("TargetNotFound"))
  }
  await eventually(isThere, 10_000, "the targets are known")
}, 180_000)
afterAll(() => server?.close())

describe("two users", () => {
  test("see their own account at both gateways, with clients of both eras", async () => {
    expect(await said(at("own", 0), tokens.alice)).toMatch(/^CredentialMissing: .*\/api\/targets\/own\/env\/me/)
    await login("own", keys.alice, "alice", "alice")
    await login("own", keys.bob, "bob", "bob", 1)
    for (const index of both) {
      const peers = await Promise.all([
        connectV1(at("own", index), tokens.alice),
        connectV2("2026-07-28", at("own", index), tokens.bob),
      ])
      expect(await Promise.all(peers.map(async (peer) => (await peer.call("whoami")).text))).toEqual(["alice", "bob"])
      await Promise.all(peers.map((peer) => peer.close()))
    }
  })

  test("have a token that was changed at one gateway at the other within a second", async () => {
    for (const by of both) {
      await login("own", keys.next, "alice", "next", by)
      await login("own", keys.alice, "alice", "alice", by)
    }
    expect(await said(at("own", 0), tokens.bob)).toBe("bob")
  })

  test("have an administrator's token at a shared target", async () => {
    await api("PUT", "/targets/common/env/default", { body: { TOKEN: keys.all.value } })
    const isUsed = async () =>
      (await Promise.all([tokens.alice, tokens.bob].map((token) => said(at("common", 1), token)))).every(
        (text) => text === "all",
      )
    await eventually(isUsed, 1_000, "it is everybody's")
  })
})

describe("a session", () => {
  test("that one gateway opened goes on at the other, and ends at both with the token", async () => {
    await login("own", keys.alice, "alice", "alice")
    const session = await openSession(at("own", 0), tokens.alice)
    const there = sessionAs(at("own", 1), tokens.alice, session.id)
    for (const each of [session, there])
      expect((await answerOf(await each.post(legacyCall("whoami")))).result.content[0].text).toBe("alice")
    await login("own", keys.next, "alice", "next")
    for (const each of [session, there]) expect((await each.post(legacyCall("whoami"))).status).toBe(404)
    await login("own", keys.alice, "alice", "alice")
  })

  test("of a server without state is opened again with the changed token", async () => {
    await login("calm", keys.alice, "alice", "alice")
    const session = await openSession(at("calm", 0), tokens.alice)
    await login("calm", keys.next, "alice", "next")
    for (const index of both) {
      const there = sessionAs(at("calm", index), tokens.alice, session.id)
      expect((await answerOf(await there.post(legacyCall("whoami")))).result.content[0].text).toBe("next")
    }
  })

  test("ends at both gateways with restart-instances, which finds no instance", async () => {
    const session = await openSession(at("own", 0), tokens.alice)
    expect(await api("POST", "/targets/own/restart-instances", { by: 1 })).toMatchObject({ restarted: 0 })
    const isOver = async () => {
      const all = both.map((each) => sessionAs(at("own", each), tokens.alice, session.id).post(legacyCall("whoami")))
      return (await Promise.all(all)).every(({ status }) => status === 404)
    }
    await eventually(isOver, 1_000, "it is over at both")
    await openSession(at("own", 1), tokens.alice)
  })
})

test("a Secret that was edited by kubectl counts when the server rejects what was known: the call is sent once more", async () => {
  await login("own", keys.alice, "alice", "alice")
  const name = scopeSecretName("own", "user", { issuer: "static", name: "alice" })
  const patch = JSON.stringify({ stringData: { TOKEN: keys.edited.value } })
  await kubectl(["patch", "secret", name, "-n", place.instances, "--type=merge", "-p", patch])
  await server.answer({ act: "answer", account: "alice", status: 401, body: "{}" })
  await server.forgetSeen()
  // values that are younger than a second are not read again
  await eventually(async () => (await said(at("own", 1), tokens.alice)) === "edited", 2_000, "the edited one is used")
  await server.answer()
  const lately = (await server.seen()).slice(-2).map(({ account, status }) => [account, status])
  expect(lately).toEqual([
    ["alice", 401],
    ["edited", 200],
  ])
  expect(
    await sample(gateways[1] as RoleProcess, 'reflow_remote_login_rejections_total{target="own"}'),
  ).toBeGreaterThan(0)
})

describe("what is refused", () => {
  test("is a server whose certificate nobody known has signed", async () => {
    expect(await said(at("distrusted", 0), tokens.alice)).toMatch(/^UpstreamUntrusted: /)
  })

  test.each(["inside", "metadata"])("is a server at an address where no connection may go (%s)", async (target) => {
    const text = await said(at(target, 0), tokens.alice)
    // a name of the cluster is not known to every machine
    expect(text).toMatch(target === "inside" ? /^(AddressNotAllowed|UpstreamUnreachable): / : /^AddressNotAllowed: /)
  })

  test("is a target that names a server and what runs in the cluster, by the API server", async () => {
    const spec = { ...remoteSpec(server.url), image: "registry.invalid/nothing:1" }
    await expect(apply(targetOf("both", spec))).rejects.toThrow(/image cannot be used/)
    await expect(apply(targetOf("none", { transportType: "streamable-http" }))).rejects.toThrow(/remote is required/)
  })
})

test("a gateway that is killed takes no session along", async () => {
  await login("own", keys.alice, "alice", "alice")
  const session = await openSession(at("own", 1), tokens.alice)
  gateways[1]?.process.kill("SIGKILL")
  await gateways[1]?.ended
  const there = sessionAs(at("own", 0), tokens.alice, session.id)
  expect((await answerOf(await there.post(legacyCall("whoami")))).result.content[0].text).toBe("alice")
})

describe("in the cluster", () => {
  const everyKey = Object.values(keys)
  const echo = "{authorization}"

  test("there is nothing of the server: neither instance nor Pod nor Service", async () => {
    const kinds = "mcpinstances,pods,services"
    expect(await kubectl(["get", kinds, "-n", place.instances, "-o", "name", "--ignore-not-found"])).toBe("")
    const status = async () =>
      (
        (await kubectlJson(["get", "mcptarget", "own", "-n", place.instances])) as {
          status?: { conditions?: object[] }
        }
      ).status?.conditions
    await expect
      .poll(status, { timeout: 30_000 })
      .toContainEqual(expect.objectContaining({ type: "Available", status: "True" }))
  })

  test("no credential is in an object but Secrets, in a log, a metric or an Event, whatever the server repeats", async () => {
    const headers = { "www-authenticate": echo, "retry-after": echo, location: echo, "content-type": "text/html" }
    for (const status of [401, 403, 429, 500, 302]) {
      await server.answer({ act: "answer", status, headers, body: echo })
      const answer = await callTool(at("own", 0), tokens.alice, "whoami")
      expect(findCanaries(JSON.stringify([...answer.headers]) + (await answer.text()), everyKey)).toEqual([])
      const tried = await api("POST", "/targets/own/test", { as: tokens.alice, body: {} })
      expect(findCanaries(JSON.stringify(tried), everyKey)).toEqual([])
    }
    await server.answer()
    const namespace = place.instances
    const objects = await kubectl(["get", "mcptargets,events", "-n", namespace, "--show-managed-fields", "-o", "yaml"])
    const metrics = await Promise.all([operator, gateways[0] as RoleProcess].map((each) => each.probe("/metrics")))
    const texts = [
      ...[objects, ...followed.map(({ text }) => text()), ...metrics.map(({ text }) => text)],
      ...[operator, ...gateways].map((each) => each.output()),
    ]
    expect(texts.join("")).toContain("UpstreamLoginRejected")
    for (const text of texts) expect(findCanaries(text, everyKey)).toEqual([])
    const secrets = (await kubectlJson(["get", "secrets", "-n", namespace])) as {
      readonly items: readonly { readonly data?: Readonly<Record<string, string>> }[]
    }
    const stored = secrets.items.flatMap(({ data = {} }) => Object.values(data).map(atob)).join("\n")
    expect(findCanaries(stored, everyKey).toSorted()).toEqual(["alice's", "alice's next", "bob's", "everybody's"])
  })
})
