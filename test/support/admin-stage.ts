import { createHash } from "node:crypto"
import { afterEach, beforeEach, expect } from "vitest"
import { createMemoryCluster } from "../../src/adapters/memory/cluster.ts"
import { createAdmin } from "../../src/admin/admin.ts"
import type { TrialPort, TrialSeat } from "../../src/admin/trial-port.ts"
import { apiVersion } from "../../src/api/kinds/kind.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { labels } from "../../src/api/names.ts"
import { createNeedleShare } from "../../src/credentials/needle-share.ts"
import { setScope } from "../../src/credentials/store.ts"
import { AppError } from "../../src/errors.ts"
import { createAccess } from "../../src/identity/access.ts"
import { createAuthenticator } from "../../src/identity/authenticate.ts"
import type { Purpose } from "../../src/identity/identity.ts"
import { mintDevToken } from "../../src/identity/own-tokens.ts"
import { createLogNames, sharerKey, sharerNamed } from "../../src/identity/subject-key.ts"
import { createBudget } from "../../src/intake/bodies.ts"
import { createPluginHost } from "../../src/plugin/host.ts"
import { unconfigured } from "../../src/roles/plugins.ts"
import { expectDocumented } from "./admin-document.ts"
import { fakeClock } from "./fake-clock.ts"
import { createFaults } from "./faults.ts"
import { quietTelemetry } from "./quiet-telemetry.ts"

/** Namespace of everything. */
export const namespace = "reflow"
const key = Buffer.alloc(32, 1)

/** What differs between stages. */
type StageOptions = {
  /** Default: dev and static. */
  readonly issuers?: readonly string[]
  /** log.subjects; default digest. */
  readonly subjects?: "digest" | "name"
}

const start = async ({ issuers = ["dev", "static"], subjects = "digest" }: StageOptions) => {
  const clock = fakeClock()
  const telemetry = quietTelemetry()
  const faults = createFaults(clock)
  let pause = async (): Promise<void> => {}
  const cluster = createMemoryCluster({
    clock,
    telemetry,
    intercept: {
      ...faults,
      call: async (call, run) => {
        const result = await (faults.call?.(call, run) ?? run())
        await pause()
        return result
      },
    },
  })
  const [targets, instances] = [
    cluster.watch(mcpTargetKind, { namespace }),
    cluster.watch(mcpInstanceKind, { namespace }),
  ]
  await Promise.all([targets.synced, instances.synced])
  let place: TrialPort["place"] = () =>
    Promise.reject(new AppError("InstanceStarting", { detail: "Nothing runs here." }))
  const plugins = await createPluginHost(unconfigured([]), { clock, telemetry })
  const bodies = createBudget(256 * 2 ** 20)
  const admin = createAdmin({
    needles: createNeedleShare(),
    cluster,
    namespace,
    targets,
    instances,
    access: createAccess({ issuers, adminRoles: ["admin"] }),
    authenticator: createAuthenticator({
      tokens: [
        {
          name: "robot",
          sha256: createHash("sha256").update("robot-token").digest("hex"),
          subject: "robot",
          roles: ["dev/admin"],
          groups: [],
          for: ["api"],
        },
      ],
      dev: key,
      clock,
      telemetry,
    }),
    bodies,
    clock,
    telemetry,
    pluginFaults: plugins.faults,
    logNames: createLogNames(subjects),
    trial: {
      place: (...asked) => place(...asked),
    },
  })
  return {
    clock,
    telemetry,
    cluster,
    admin,
    bodies,
    /** Lets others come between any two calls of the REST API to its cluster, as on a network. */
    takeTurns: () => {
      pause = () => new Promise((resolve) => setImmediate(resolve))
    },
    /** What a trial finds instead of a server. */
    findInTrial: (error: AppError) => {
      place = () => Promise.reject(error)
    },
    /** What a trial finds. */
    seatInTrial: (seat: TrialSeat) => {
      place = () => Promise.resolve(seat)
    },
    /** Lets coming calls of the REST API to its cluster fail. */
    fail: faults.fail,
    /** Lets the REST API hear of changes so many milliseconds late, as on a network. */
    lag: faults.lag,
    close: () => cluster.close(),
  }
}

/** The REST API of the current test, and what is around it. */
export let world: Awaited<ReturnType<typeof start>>

/** Gives each test of the file a REST API of its own over an empty embedded cluster. */
export const useAdmin = (options: StageOptions = {}): void => {
  beforeEach(async () => {
    world = await start(options)
  })
  afterEach(() => world.close())
}

/** A token of an issuer `dev`. */
export const token = (subject: string, roles: string[] = [], groups: string[] = [], purposes: Purpose[] = ["api"]) =>
  mintDevToken(key, { subject, roles, groups, for: purposes, ttlSeconds: 3600 }, world.clock)

type Sent = { body?: unknown; as?: string; headers?: Readonly<Record<string, string>> }

/** A request as the administrator, or as the holder of `as`. */
export const send = async (method: string, path: string, { body, as, headers }: Sent = {}) => {
  const bearer = as ?? (await token("root", ["admin"]))
  const sent = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }
  const response = await world.admin.fetch(
    new Request(`http://gateway.test${path}`, {
      method,
      headers: {
        ...(bearer === "" ? {} : { authorization: `Bearer ${bearer}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...sent,
    }),
  )
  const text = await response.text()
  expect(response.headers.get("cache-control")).toBe("no-store")
  expect(response.headers.get("x-request-id")).toMatch(/^[-0-9a-f]{36}$/)
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of any shape
  const parsed: any =
    /json/.test(response.headers.get("content-type") ?? "") && text !== "" ? JSON.parse(text) : undefined
  if (response.status >= 400 && method !== "HEAD") {
    expect(response.headers.get("content-type")).toBe("application/problem+json")
    expect(parsed).toMatchObject({
      status: response.status,
      detail: expect.any(String),
      title: expect.any(String),
      request_id: response.headers.get("x-request-id"),
    })
  }
  expectDocumented(method, path, { status: response.status, body: parsed })
  return { status: response.status, headers: response.headers, body: parsed, text }
}

/** The body of the specification's text, as it is written there. */
export const specified = {
  name: "github-k8s",
  transport_type: "kubernetes",
  image: "ghcr.io/org/mcp-github:latest",
  port: 8080,
  statefulness: "stateful",
  isolation_boundary: "per_user",
}

/** Makes a target by the REST API. */
export const register = async (name: string, more: Readonly<Record<string, unknown>> = {}) => {
  const { status, text } = await send("POST", "/api/targets", { body: { ...specified, name, ...more } })
  expect(status, text).toBe(201)
}

/** Subject key of a user of the issuer `dev`. */
export const userKey = (subject: string) => sharerKey(sharerNamed("user", { issuer: "dev", name: subject }))

/** An instance as a gateway makes it. */
export const place = async (targetName: string, subjectKey: string, name: string, scopes: readonly string[] = []) => {
  const instance: MCPInstance = {
    apiVersion,
    kind: "MCPInstance",
    metadata: {
      name,
      namespace,
      annotations: { [labels.subject]: `dev/${name}`, [labels.credentialScopes]: scopes.join(",") },
    },
    spec: { image: "i", port: 80, targetName, subjectKey, secretName: `${name}-abcde` },
  }
  return await world.cluster.create(mcpInstanceKind, instance)
}
/** Whether each instance has been asked to drain. */
export const restartTimes = async () => {
  const { items } = await world.cluster.list(mcpInstanceKind, { namespace })
  return Object.fromEntries(items.map(({ metadata, spec }) => [metadata.name, spec.restartTime !== undefined]))
}
/** Names on a page. */
export const names = (page: { body: { items: { name: string }[] } }) => page.body.items.map(({ name }) => name)

/** Stores values of a user of the target github as an earlier configuration let them be stored. */
export const storeFor = async (who: { readonly issuer: string; readonly name: string }) => {
  const target = await world.cluster.get(mcpTargetKind, { namespace, name: "github" })
  if (target === undefined) throw new Error("no target")
  const signal = new AbortController().signal
  await setScope({ cluster: world.cluster, namespace, target, scope: "user", who, values: { TOKEN: "old" }, signal })
}
