import { describe, expect, test } from "vitest"
import { mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import type { Bench } from "./cluster.ts"
import { targetOf } from "./objects.ts"

type Spec = Readonly<Record<string, unknown>>
type Row = readonly [what: string, spec: Spec, place: string]

const url = "https://mcp.example.com/mcp"

/** What a target says whose server somebody else runs. `spec` is laid over; undefined removes. */
const remoteSpec = (spec: Spec = {}): Spec => ({
  image: undefined,
  port: undefined,
  transportType: "streamable-http",
  remote: { url },
  ...spec,
})

/** Fields about a server that runs in the cluster, each with a value that is valid there. */
const ofInstances: Spec = {
  image: "example.test/server:1",
  imagePullPolicy: "Always",
  imagePullSecrets: ["registry"],
  port: 8080,
  path: "/mcp",
  command: ["server"],
  args: ["--quiet"],
  env: [{ name: "LEVEL", value: "info" }],
  healthPath: "/up",
  hostHeader: "localhost:8080",
  resources: { limits: { memory: "128Mi" } },
  security: { runAsUser: 1000 },
  idleTTL: "30m",
  maxLifetime: "24h",
  startTimeout: "1m",
  podTemplates: [{ name: "labels" }],
  streamTTL: "1m",
  maxInstances: 0,
}

const fieldRows: readonly Row[] = [
  ...Object.entries(ofInstances).map(([field, value]): Row => [field, { [field]: value }, `spec.${field}`]),
  ["stdio", { stdio: {}, command: ["a"] }, "spec.stdio"],
  ["identity headers", { identityHeaders: true }, "spec.identityHeaders"],
  ["no server", { remote: undefined }, "remote is required for transportType streamable-http"],
  ["no URL", { remote: { headers: [] } }, "spec.remote.url"],
  ["a Secret of authorities without a name", { remote: { url, caSecret: "" } }, "spec.remote.caSecret"],
  ["a Secret of authorities in another place", { remote: { url, caSecret: "../x" } }, "spec.remote.caSecret"],
  ["transport sse", { transportType: "sse" }, "spec.transportType"],
]

const badURLs: readonly string[] = [
  "",
  "mcp.example.com/mcp",
  "//mcp.example.com/mcp",
  "https:///mcp",
  "ftp://mcp.example.com/",
  "wss://mcp.example.com/",
  "file:///etc/passwd",
  "javascript:alert(1)",
  "https://user@mcp.example.com/mcp",
  "https://user:word@mcp.example.com/mcp",
  "https://mcp.example.com\\@other.example/mcp",
  "https://mcp.example.com/mcp#part",
  "https://mcp.example.com#part",
  "https://mcp.example.com?a=b",
  "https://mcp.example.com/a b",
  "https://mcp.example .com/mcp",
  " https://mcp.example.com/mcp",
  "https://mcp.example.com/mcp\n",
  "https://mcp.example.com/\t",
  "https://mcp.example.com\u000b/mcp",
  "https://mcp.example.com\u00a0/mcp",
  "https://mcp.example.com\u0000/mcp",
  "https://bücher.example/mcp",
  `https://mcp.example.com/${"x".repeat(2048)}`,
]

const reserved: readonly string[] = [
  ...["Connection", "keep-alive", "TE", "Trailer", "Transfer-Encoding", "UPGRADE", "Proxy-Authorization"],
  ...["Host", "Expect", "Content-Type", "content-length", "Mcp-Session-Id", "MCP-Protocol-Version", "mCp-anything"],
  ...["Cookie", "Set-Cookie", "Accept", "Accept-Encoding", "Last-Event-ID", "Forwarded", "X-Forwarded-For"],
  "x-FORWARDED-anything",
]

const badNames: readonly string[] = ["", "two words", "Authorization:", "ümlaut", "a\nb", "x".repeat(129)]

const badTemplates: readonly string[] = [
  "Bearer $TOKEN",
  "$",
  "$$$",
  "${",
  "${}",
  "${TOKEN",
  "${1TOKEN}",
  "${TO-KEN}",
  "${TO KEN}",
  "${TOKEN:-x}",
  "$${TOKEN}$",
  "a\r\nHost: other",
  "a\nb",
  "a\u0000b",
  "a\u007fb",
  "schlüssel",
  "x".repeat(4097),
]

const withHeaders = (headers: readonly unknown[]): Spec => ({ remote: { url, headers } })

const header = (name: string, value = "x") => ({ name, value })

const headerRows: readonly Row[] = [
  ...badNames.map((name): Row => [`a header named ${JSON.stringify(name)}`, withHeaders([header(name)]), "name"]),
  ...reserved.map((name): Row => [`the header ${name}`, withHeaders([header(name)]), "must not name a header of"]),
  ...badTemplates.map(
    (value): Row => [
      `the header value ${JSON.stringify(value).slice(0, 40)}`,
      withHeaders([header("A", value)]),
      "spec.remote.headers[0].value",
    ],
  ),
  ["a header without a value", withHeaders([{ name: "A" }]), "spec.remote.headers[0].value"],
  ["a header twice", withHeaders([header("A"), header("B"), header("A")]), "must name each header once"],
  ["a header twice in two cases", withHeaders([header("X-Key"), header("x-kEY")]), "must name each header once"],
  ["33 headers", withHeaders(Array.from({ length: 33 }, (_, index) => header(`H${index}`))), "spec.remote.headers"],
]

/** What is taken, so that the rules above refuse no more than they should. */
const taken: readonly (readonly [what: string, spec: Spec])[] = [
  ["only a URL", {}],
  ["a URL of another port, with a query", { remote: { url: "https://mcp.example.com:8443/a/b?c=d&e=@f" } }],
  ["an address of IPv6", { remote: { url: "http://[2001:db8::1]:8080/mcp" } }],
  ["headers with and without credentials", withHeaders([header("Authorization", "Bearer ${A}"), header("X-A", "$$5")])],
  ["names that only resemble reserved ones", withHeaders([header("X-Host"), header("Hosts"), header("Accepts")])],
  ["the largest headers", withHeaders(Array.from({ length: 32 }, (_, i) => header(`H${i}`, "x".repeat(4096))))],
  ["all that people see of a target", { credentials: [{ name: "A", required: true }], requiredScopes: ["s"] }],
  ["a limit of time and tools", { requestTimeout: "30s", tools: { allow: ["a*"] }, statefulness: "stateless" }],
  ["a Secret of authorities", { remote: { url, caSecret: "corporate-ca" } }],
  ["no identity headers", { identityHeaders: false }],
]

const refused = (place: string) => ({ code: "ApiInvalid", message: expect.stringContaining(place) })

const refusesChanges = (bench: Bench): void => {
  test("a target cannot become remote, nor stop being it", async () => {
    const [own, foreign] = [bench.fresh(), bench.fresh()]
    await bench.cluster.create(mcpTargetKind, targetOf(own))
    await bench.cluster.create(mcpTargetKind, targetOf(foreign, remoteSpec()))
    const [toForeign, toOwn] = [remoteSpec({ image: null, port: null }), { ...targetOf(own).spec, remote: null }]
    const became = bench.cluster.mergePatch(mcpTargetKind, own, { spec: toForeign })
    await expect(became).rejects.toMatchObject(refused("transportType is immutable"))
    const stopped = bench.cluster.mergePatch(mcpTargetKind, foreign, {
      spec: { ...toOwn, transportType: "kubernetes" },
    })
    await expect(stopped).rejects.toMatchObject(refused("transportType is immutable"))
  })
  test("the URL of a target can change, and is judged again", async () => {
    const ref = bench.fresh()
    await bench.cluster.create(mcpTargetKind, targetOf(ref, remoteSpec()))
    const moved = { spec: { remote: { url: "https://other.example/mcp" } } }
    expect((await bench.cluster.mergePatch(mcpTargetKind, ref, moved)).spec.remote).toEqual(moved.spec.remote)
    const broken = bench.cluster.mergePatch(mcpTargetKind, ref, { spec: { remote: { url: "https://a@b.example/" } } })
    await expect(broken).rejects.toMatchObject(refused("spec.remote.url"))
  })
}

/** What every cluster refuses of targets whose server somebody else runs, and what it takes. */
export const describeRemoteRefusals = (bench: Bench): void => {
  describe("refusals of remote targets", () => {
    test.each([...fieldRows, ...headerRows])("a remote target with %s is refused", async (_, spec, place) => {
      const target = targetOf(bench.fresh(), remoteSpec(spec))
      await expect(bench.cluster.create(mcpTargetKind, target)).rejects.toMatchObject(refused(place))
    })
    test.each(badURLs.map((bad) => [bad]))("a remote target with the URL %j is refused", async (bad) => {
      const target = targetOf(bench.fresh(), remoteSpec({ remote: { url: bad } }))
      await expect(bench.cluster.create(mcpTargetKind, target)).rejects.toMatchObject(refused("spec.remote.url"))
    })
    test("a target in the cluster that names a remote server is refused", async () => {
      const target = targetOf(bench.fresh(), { remote: { url } })
      const made = bench.cluster.create(mcpTargetKind, target)
      await expect(made).rejects.toMatchObject(refused("remote needs transportType streamable-http"))
    })
    test.each(taken)("a remote target with %s is taken", async (_, spec) => {
      const target = targetOf(bench.fresh(), remoteSpec(spec))
      expect((await bench.cluster.create(mcpTargetKind, target)).spec).toMatchObject(
        JSON.parse(JSON.stringify(target.spec)),
      )
    })
    refusesChanges(bench)
  })
}
