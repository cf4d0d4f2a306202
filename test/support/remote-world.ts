/** Placement of remote servers over an embedded cluster and a clock that the test turns: one target, many replicas. */
import { createMemoryCluster } from "../../src/adapters/memory/cluster.ts"
import { secretKind, toSecretData } from "../../src/api/kinds/kubernetes.ts"
import { type MCPTarget, type MCPTargetSpec, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { createCompose, type ResolveSecret } from "../../src/credentials/compose.ts"
import { deleteScope, setScope } from "../../src/credentials/store.ts"
import type { AppError } from "../../src/errors.ts"
import type { Identity } from "../../src/identity/identity.ts"
import { subjectKeyFor } from "../../src/identity/subject-key.ts"
import type { Placement, PlacementPort } from "../../src/placement/port.ts"
import { createRemotePlacement } from "../../src/placement/remote/remote-placement.ts"
import type { ClusterPort } from "../../src/ports/cluster.ts"
import { noteChange } from "../../src/signals/credentials-changed.ts"
import { aRemoteTarget } from "./build/target.ts"
import { identity as anIdentity } from "./build/who.ts"
import { type FakeClock, fakeClock } from "./fake-clock.ts"
import { quietTelemetry } from "./quiet-telemetry.ts"

const namespace = "reflow"
const targetName = "example"
const apiUrl = "https://gateway.example.com/api"
const signal = new AbortController().signal

/** Where values are: the scope of everybody, or that of one subject. */
type Whose = "default" | { readonly subject: string }

/** One gateway's placement, and what it asked the API server for. */
export type RemoteReplica = {
  readonly placement: PlacementPort
  /** Names of the Secrets that it read. */
  readonly reads: string[]
  /** While it has one, each read of a Secret fails with it. */
  fault: AppError | undefined
  /** What a read of a Secret waits for. */
  hold: Promise<unknown> | undefined
  /** The URLs that it asked about, whether they may be called. */
  readonly checked: string[]
  /** How long nothing was heard of the API server, milliseconds. */
  silence: number
}

const watched = (cluster: ClusterPort, replica: Omit<RemoteReplica, "placement">): ClusterPort =>
  new Proxy(cluster, {
    get: (inner, name: keyof ClusterPort) => {
      if (name !== "get") return inner[name]
      const get: ClusterPort["get"] = async (kind, ref, options) => {
        if (kind.kind === "Secret") replica.reads.push(ref.name)
        const { fault, hold } = replica
        const found = await inner.get(kind, ref, options)
        await hold
        if (fault !== undefined) throw fault
        return found
      }
      return get
    },
  })

/** The world of a test; close it. */
const remoteWorld = async (spec: Partial<MCPTargetSpec> = {}, resolve?: ResolveSecret) => {
  const clock: FakeClock = fakeClock()
  const memory = createMemoryCluster({ clock, telemetry: quietTelemetry() })
  const { metadata: _, ...made } = aRemoteTarget({ spec })
  const cluster = memory.client({ fieldManager: "test" })
  await cluster.create(mcpTargetKind, { ...made, metadata: { name: targetName, namespace } })
  const targets = cluster.watch(mcpTargetKind, { namespace })
  await clock.advance(0)
  await targets.synced
  const target = (): MCPTarget => {
    const found = targets.get(targetName)
    if (found === undefined) throw new Error("there is no target")
    return found
  }
  const closing: (() => Promise<void>)[] = [targets.close, memory.close]

  const replica = (): RemoteReplica => {
    const facts: Omit<RemoteReplica, "placement"> = {
      reads: [],
      checked: [],
      fault: undefined,
      hold: undefined,
      silence: 0,
    }
    const own = watched(cluster, facts)
    const compose = createCompose({ cluster: own, namespace, apiUrl, ...(resolve === undefined ? {} : { resolve }) })
    const followed = new Proxy(targets, {
      get: (inner, name: keyof typeof targets) => (name === "silenceMs" ? () => facts.silence : inner[name]),
    })
    const placement = createRemotePlacement({
      cluster: own,
      targets: followed,
      compose,
      checkUrl: ({ href }) => void facts.checked.push(href),
      clock,
      telemetry: quietTelemetry(),
      options: { namespace, issuers: ["corp"], apiUrl },
    })
    closing.unshift(placement.close)
    return Object.assign(facts, { placement })
  }
  const scopeCall = (whose: Whose) => ({
    cluster,
    namespace,
    target: target(),
    signal,
    ...(whose === "default"
      ? { scope: "default" as const }
      : { scope: "user" as const, who: { issuer: "corp", name: whose.subject } }),
  })
  const announce = async (secret: string): Promise<void> => {
    const annotations = noteChange(target().metadata.annotations ?? {}, secret, clock.now())
    await cluster.mergePatch(mcpTargetKind, { namespace, name: targetName }, { metadata: { annotations } })
    await clock.advance(0)
  }
  return {
    clock,
    cluster,
    target,
    replica,
    /** Writes values as kubectl does: nobody is told. */
    write: (whose: Whose, values: Readonly<Record<string, string>>) =>
      setScope({ ...scopeCall(whose), values, now: clock.now() }),
    /** Writes values as the REST API does. */
    set: async (whose: Whose, values: Readonly<Record<string, string>>) => {
      const { secret } = await setScope({ ...scopeCall(whose), values, now: clock.now() })
      await announce(secret)
    },
    remove: async (whose: Whose) => {
      const { secret } = await setScope({ ...scopeCall(whose), values: {}, now: clock.now() })
      await deleteScope(scopeCall(whose))
      await announce(secret)
    },
    /** Writes a Secret that is no scope's. */
    writeSecret: (name: string, data: Readonly<Record<string, string>>) =>
      cluster.create(secretKind, {
        apiVersion: secretKind.apiVersion,
        kind: secretKind.kind,
        metadata: { name, namespace },
        type: "Opaque",
        data: toSecretData(data),
      }),
    patch: async (patch: Readonly<Record<string, unknown>>) => {
      await cluster.mergePatch(mcpTargetKind, { namespace, name: targetName }, patch)
      await clock.advance(0)
    },
    /** Places a request of the subject; turns the clock until that is done. */
    place: async (
      { placement }: RemoteReplica,
      subject = "alice",
      more: Partial<Identity> = {},
    ): Promise<Placement> => {
      const identity = anIdentity({ subject, ...more })
      const subjectKey = await subjectKeyFor(target(), identity, { issuers: ["corp"] })
      const placed = Promise.resolve(
        placement.place({ target: target(), identity, subjectKey, mode: "create", requestId: "r-1", signal }),
      )
      placed.catch(() => {})
      await clock.advance(0)
      return await placed
    },
    close: async () => {
      for (const each of closing) await each()
    },
  }
}

/** A world of a test; see {@link closeWorlds}. */
export type World = Awaited<ReturnType<typeof remoteWorld>>

const open: World[] = []

/** Makes a world. */
export const world = async (...args: Parameters<typeof remoteWorld>): Promise<World> => {
  const made = await remoteWorld(...args)
  open.push(made)
  return made
}

/** Closes the worlds of a test. */
export const closeWorlds = async (): Promise<void> => {
  for (const each of open.splice(0)) await each.close()
}

/** A target whose server wants a token, and takes a region. */
export const withToken: Partial<MCPTargetSpec> = {
  remote: {
    url: "https://mcp.example.com/mcp",
    headers: [
      { name: "Authorization", value: "Bearer ${TOKEN}" },
      { name: "X-Workspace", value: "acme" },
      { name: "X-Region", value: "${REGION}" },
    ],
  },
  credentials: [{ name: "TOKEN", required: true, description: "Settings → API tokens" }, { name: "REGION" }],
}

/** The headers of the target that a placement sends, by name. */
export const headersOf = ({ remote }: Placement): Readonly<Record<string, string>> => {
  const list = remote?.headers ?? []
  return Object.fromEntries(list.flatMap((name, at) => (at % 2 === 0 ? [[name, list[at + 1] ?? ""]] : [])))
}

/** The credential that a placement sends. */
export const tokenOf = (placement: Placement): string | undefined => headersOf(placement).authorization
