/** The plugins that come with the program, through the same door as everyone's. */
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises"
import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import fc from "fast-check"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { systemClock } from "../../src/adapters/system/clock.ts"
import type { Pod } from "../../src/api/pod.ts"
import { isAppError } from "../../src/errors.ts"
import { builtinPlugins } from "../../src/plugin/builtin.ts"
import type { PluginIdentity } from "../../src/plugin/contract.ts"
import { createPluginHost, type HostDeps, type PluginHost } from "../../src/plugin/host.ts"
import { anInstance } from "../support/build/instance.ts"
import { aTarget } from "../support/build/target.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"

const hostOf = (name: string, config: unknown = {}, more: Partial<HostDeps> = {}, readable: readonly string[] = []) =>
  createPluginHost([{ source: name, firstParty: true, exported: builtinPlugins[name], config, readable }], {
    clock: systemClock,
    telemetry: quietTelemetry(),
    ...more,
  })

const failure = async (call: () => unknown): Promise<string> => {
  try {
    await call()
  } catch (error) {
    if (!isAppError(error)) throw error
    return `${error.code}: ${error.message} ${error.cause instanceof Error ? error.cause.message : ""}`
  }
  throw new Error("it did not fail")
}

const someone = (claims: Record<string, unknown>, more: Partial<PluginIdentity> = {}): PluginIdentity => ({
  source: "jwt",
  issuer: "corp",
  subject: "alice",
  groups: [],
  roles: [],
  scopes: [],
  claims,
  ...more,
})

const secret = (host: PluginHost, from: string) =>
  host.secret({
    target: aTarget(),
    sharer: { kind: "shared", subjectKey: "shared" },
    name: "TOKEN",
    from,
    signal: AbortSignal.timeout(10_000),
  })

describe.each(["claim", "template"])("the strategy %s", (strategy) => {
  const configs: Record<string, object> = { claim: { claim: "tenant" }, template: { template: "{{tenant}}" } }
  const keyOf = async (identity: PluginIdentity, config = configs[strategy]) =>
    (await hostOf(strategy)).subjectKey(
      aTarget({ spec: { subjectKey: { strategy, config: { ...config } } } }),
      identity,
    )

  test("gives those one key who have one value, and others another", async () => {
    const [one, same, other] = await Promise.all(
      [someone({ tenant: "acme" }), someone({ tenant: "acme" }, { subject: "bob" }), someone({ tenant: "other" })].map(
        (each) => keyOf(each),
      ),
    )
    expect(one).toBe(same)
    expect(one).not.toBe(other)
  })
  test("keeps equal values of two issuers apart, unless it is told otherwise", async () => {
    const [corp, partner] = [someone({ tenant: "acme" }), someone({ tenant: "acme" }, { issuer: "partner" })]
    expect(await keyOf(corp)).not.toBe(await keyOf(partner))
    const across = { ...configs[strategy], across_issuers: true }
    expect(await keyOf(corp, across)).toBe(await keyOf(partner, across))
  })
  test.each([{}, { tenant: "" }, { tenant: 7 }, { tenant: ["acme"] }])("denies whose claims are %j", async (claims) => {
    expect(await failure(() => keyOf(someone(claims)))).toContain(
      "SubjectKeyDenied: Your token has no usable claim 'tenant'",
    )
  })
})

describe("a template of several values", () => {
  const strategy = { strategy: "template", config: { template: "{{tenant}}-{{region}}" } }
  test("gives two callers one key only if all their values are the same, whatever is in them", async () => {
    const host = await hostOf("template")
    const keyOf = (tenant: string, region: string, issuer: string) =>
      host.subjectKey(aTarget({ spec: { subjectKey: strategy } }), someone({ tenant, region }, { issuer }))
    const value = fc.oneof(
      fc.constantFrom("a", "A", "a-", "-a", '"', '","', "\\", "\u0000", "ſ", "é", "e\u0301"),
      fc.string({ minLength: 1, unit: "grapheme" }),
    )
    const caller = fc.tuple(value, value, fc.constantFrom("corp", "partner"))
    fc.assert(
      fc.property(caller, caller, (one, other) => {
        fc.pre([...one, ...other].every((each) => each.isWellFormed()))
        const same = one.every((each, index) => each === other[index])
        expect(keyOf(...one) === keyOf(...other)).toBe(same)
      }),
    )
  })
  test("knows filters, the mail address and the issuer", async () => {
    const host = await hostOf("template")
    const keyOf = (template: string, email: string) =>
      host.subjectKey(
        aTarget({ spec: { subjectKey: { strategy: "template", config: { template } } } }),
        someone({}, { email }),
      )
    expect(keyOf("{{email | domain}}", "a@Example.com")).toBe(keyOf("{{ email|domain }}", "b@example.com"))
    expect(keyOf("{{email|lower}}", "A@x")).toBe(keyOf("{{email|lower}}", "a@x"))
    expect(keyOf("{{issuer}}", "a@x")).toBe(keyOf("{{issuer}}", "b@x"))
  })
  test.each(["no placeholder", "{{a}} {b", "{{a | upper}}", ""])("is refused if it is %j", async (template) => {
    const host = await hostOf("template")
    const own = { strategy: "template", config: { template } }
    expect(await failure(() => host.subjectKey(aTarget({ spec: { subjectKey: own } }), someone({})))).toContain(
      "is not what its schema wants",
    )
  })
})

describe("secrets from Kubernetes", () => {
  const readSecret = async (name: string, key: string) => (key === "token" ? `${name}-value` : undefined)
  test("are a key of a Secret that the configuration allows", async () => {
    const host = await hostOf("kubernetes", {}, { readSecret }, ["team"])
    expect(await secret(host, "kubernetes:team/token")).toEqual({ value: "team-value" })
    expect(await failure(() => secret(host, "kubernetes:other/token"))).toContain("may not read the Secret 'other'")
    expect(await failure(() => secret(host, "kubernetes:team/missing"))).toContain(
      "there is no key missing in the Secret team",
    )
    expect(await failure(() => secret(host, "kubernetes:team"))).toContain("must be NAME/KEY")
  })
})

describe("secrets from the environment", () => {
  test("are the variables that the configuration allows", async () => {
    const host = await hostOf("env", { allow: ["PATH", "NO_SUCH_VARIABLE"] })
    expect((await secret(host, "env:PATH")).value).not.toBe("")
    expect(await failure(() => secret(host, "env:HOME"))).toContain("not in the plugin's list")
    expect(await failure(() => secret(host, "env:NO_SUCH_VARIABLE"))).toContain("is not set")
  })
})

describe("secrets from files", () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "reflow-file-"))
    await writeFile(join(folder, "token"), "value\n")
    await writeFile(join(folder, "large"), "x".repeat(64 * 1024 + 1))
    await symlink("/etc/hostname", join(folder, "outside"))
  })
  afterAll(async () => {
    await rm(folder, { recursive: true })
  })
  test("are files of the folder, without the line break at their end", async () => {
    expect(await secret(await hostOf("file", { folder }), "file:token")).toEqual({ value: "value" })
  })
  test.each([
    ["../../../etc/hostname", "not in the folder"],
    ["/etc/hostname", "not in the folder"],
    ["outside", "not in the folder"],
    [".", "not in the folder"],
    ["large", "larger than"],
    ["missing", "ENOENT"],
  ])("are not %s", async (reference, told) => {
    expect(await failure(async () => secret(await hostOf("file", { folder }), `file:${reference}`))).toContain(told)
  })
  test("are none without a folder", async () => {
    expect(await failure(async () => secret(await hostOf("file"), "file:token"))).toContain("names no folder")
  })
})

describe("secrets from Vault, by its documented HTTP API", () => {
  type Seen = { readonly method: string; readonly url: string; readonly token: string; readonly body: string }
  let seen: Seen[]
  let folder: string
  let address: string
  let revoked: Set<string>
  const server = createServer(async (request: IncomingMessage, response) => {
    const { method = "", url = "", headers } = request
    const token = String(headers["x-vault-token"] ?? "")
    seen.push({ method, url, token, body: await text(request) })
    const answer = (status: number, body: object) =>
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))
    if (url === "/v1/auth/kubernetes/login")
      return answer(200, { auth: { client_token: `session-${seen.length}`, lease_duration: 3600 } })
    if (revoked.has(token)) return answer(403, { errors: ["permission denied"] })
    if (url === "/v1/secret/data/team/git%20hub")
      return answer(200, {
        data: { data: { token: "vault-value", number: 7 }, metadata: { deletion_time: "2030-01-01T00:00:00Z" } },
      })
    return answer(404, { errors: [] })
  })
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "reflow-vault-"))
    await writeFile(join(folder, "jwt"), "the-jwt\n")
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done))
    address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(async () => {
    server.close()
    server.closeAllConnections()
    await rm(folder, { recursive: true })
  })
  beforeEach(() => {
    seen = []
    revoked = new Set()
  })
  afterEach(() => {
    for (const { url } of seen) expect(url).not.toContain("vault-value")
  })
  const byKubernetes = () =>
    hostOf("vault", { address, auth: { kubernetes: { role: "reflow", token_path: join(folder, "jwt") } } })

  test("are read after one login, which is kept", async () => {
    const host = await byKubernetes()
    const expected = { value: "vault-value", expiresAt: Date.parse("2030-01-01T00:00:00Z") }
    for (let turn = 0; turn < 2; turn++) expect(await secret(host, "vault:team/git hub#token")).toEqual(expected)
    expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
      "POST /v1/auth/kubernetes/login",
      "GET /v1/secret/data/team/git%20hub",
      "GET /v1/secret/data/team/git%20hub",
    ])
    expect(JSON.parse(seen[0]?.body ?? "")).toEqual({ role: "reflow", jwt: "the-jwt" })
    expect(seen[2]?.token).toBe("session-1")
  })
  test("are read after another login once the session was revoked", async () => {
    const host = await byKubernetes()
    await secret(host, "vault:team/git hub#token")
    revoked.add("session-1")
    expect((await secret(host, "vault:team/git hub#token")).value).toBe("vault-value")
    expect(seen.filter(({ url }) => url.endsWith("/login"))).toHaveLength(2)
  })
  test("are read with the token of a file, which is read anew each time", async () => {
    const token_file = join(folder, "token")
    await writeFile(token_file, "first")
    const host = await hostOf("vault", { address, auth: { token_file } })
    await secret(host, "vault:team/git hub#token")
    await writeFile(token_file, "second")
    await secret(host, "vault:team/git hub#token")
    expect(seen.map(({ token }) => token)).toEqual(["first", "second"])
  })
  test.each([
    ["team/missing#token", "Vault answered 404 to the read of secret/team/missing"],
    ["team/git hub#missing", "no text under that key"],
    ["team/git hub#number", "no text under that key"],
    ["team/git hub", "must be PATH#KEY"],
    ["../sys/seal#x", "must be PATH#KEY"],
  ])("fail with a reason for %s", async (reference, told) => {
    expect(await failure(async () => secret(await byKubernetes(), `vault:${reference}`))).toContain(told)
  })
})

describe("pod templates", () => {
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", labels: { mine: "1" } },
    spec: { containers: [{ name: "mcp", image: "i" }], nodeSelector: { a: "b" } },
  }
  const render = async (name: string, config: Record<string, unknown>) =>
    (await hostOf(name)).template(pod, anInstance({ spec: { podTemplates: [{ name, config }] } }))

  test("choose nodes by labels and tolerations", async () => {
    const made = await render("node-selector", {
      labels: { pool: "mcp" },
      tolerations: [{ key: "mcp", operator: "Exists" }],
    })
    expect(made.spec).toMatchObject({
      nodeSelector: { a: "b", pool: "mcp" },
      tolerations: [{ key: "mcp", operator: "Exists" }],
    })
  })
  test("choose a runtime", async () => {
    expect((await render("runtime-class", { name: "gvisor" })).spec.runtimeClassName).toBe("gvisor")
    expect(await failure(() => render("runtime-class", { name: "../x" }))).toContain(
      "must be the name of a RuntimeClass",
    )
  })
  test("add labels and annotations, but none of ours", async () => {
    const made = await render("labels", { labels: { team: "a" }, annotations: { note: "b" } })
    expect(made.metadata).toMatchObject({ labels: { mine: "1", team: "a" }, annotations: { note: "b" } })
    expect(await failure(() => render("labels", { labels: { "mcp.reflow.io/instance": "bobs" } }))).toContain(
      "is reserved",
    )
  })
})
