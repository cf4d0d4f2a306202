/** Makes cold starts one at a time, of an instance through the gateway and of a bare Pod, and removes what they made. */
import { type IncomingHttpHeaders, request } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import { mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type Pod, podKind } from "../../src/api/kinds/pod.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import { type Installation, serverPort, targetName } from "./installation.ts"

/** One cold start as the bench saw it. Times are milliseconds since the epoch, with fractions. */
export type Start = {
  readonly kind: "instance" | "bare"
  /** Name of the Pod. */
  readonly pod: string
  /** Name of the instance; empty for a bare Pod. */
  readonly instance: string
  /** When the request, or the create of the bare Pod, was sent. */
  readonly sentAt: number
  /** When the bench's watch showed the Pod with an address. */
  readonly addressedAt: number
  /** When a connection to the server was there: for an instance when the gateway stopped to wait. */
  readonly reachedAt: number
  /** When the head of the server's answer was received. */
  readonly answeredAt: number
}

/** How long one start, or the removal after it, may take, in milliseconds. */
const limitMs = 60_000

const now = (): number => performance.timeOrigin + performance.now()

/** The first message of an MCP client, as a real client sends it. */
const opening = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "bench", version: "1" } },
})

type Answer = { readonly at: number; readonly headers: IncomingHttpHeaders; readonly text: string }

type Post = { readonly host: string; readonly path: string; readonly headers: Readonly<Record<string, string>> }

/** Sends the opening message on a new connection; rejects on any answer but 200. `at` is when its head was there. */
const post = ({ host, path, headers }: Post): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const common = { "content-type": "application/json", accept: "application/json, text/event-stream" }
    const options = { host, port: 8080, path, method: "POST", agent: false, timeout: limitMs }
    const asked = request({ ...options, headers: { ...common, ...headers } }, (answer) => {
      const at = now()
      let text = ""
      answer.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk
        // the answer to an opening message may be a stream: its first event is all of it
        if (answer.headers["content-type"] === "text/event-stream" && text.endsWith("\n\n")) asked.destroy()
      })
      answer.on("close", () => {
        if (answer.statusCode === 200) resolve({ at, headers: answer.headers, text })
        else reject(new Error(`${host}${path} answered ${answer.statusCode}: ${text.slice(0, 500)}`))
      })
      answer.on("error", () => {})
    })
    asked.on("timeout", () => asked.destroy(new Error(`${host}${path} did not answer`)))
    asked.on("error", reject)
    asked.end(opening)
  })

/** How long the gateway let the request wait, in milliseconds: the metric `wait` of Server-Timing. */
const waitOf = ({ headers }: Answer): number =>
  Number(/\bwait;dur=([\d.]+)/.exec(String(headers["server-timing"] ?? ""))?.[1] ?? Number.NaN)

/** Waits until `find` finds something in the reflection; rejects after a minute. */
const find = async <R>(pods: Reflection<Pod>, look: () => R | undefined, what: string): Promise<R> => {
  const found = Promise.withResolvers<R>()
  const check = (): void => {
    const result = look()
    if (result !== undefined) found.resolve(result)
  }
  const end = pods.subscribe(check)
  const timer = setTimeout(() => found.reject(new Error(`not within ${limitMs} ms: ${what}`)), limitMs)
  try {
    check()
    return await found.promise
  } finally {
    clearTimeout(timer)
    end()
  }
}

/** Makes starts in an installation. `run` is the number of the start, and of the user. */
export type Starter = {
  /** The first request of a user: the gateway creates the user's instance for it. */
  instance(run: number): Promise<Start>
  /** A Pod with the spec of the last instance's Pod, created without gateway and operator. */
  bare(run: number): Promise<Start>
  close(): Promise<void>
}

/** Shortest pause before a start, in milliseconds: what follows the removal of the last one on the node is then over. */
const calmMs = 250

/**
 * The pause before a start. The kubelet looks at its containers once a second, and a Pod gets its address then. A removal
 * ends right after such a look. So equal pauses would begin all starts at the same moment of that second; these are spread
 * evenly over it, by the golden ratio. Both starts of a run have the same pause.
 */
const pauseOf = (run: number): number => calmMs + ((run * 0.618_034) % 1) * 1_000

/**
 * The Pod's spec without what its instance and the scheduler added (owner, Secret, node), and without the hook that only
 * delays its end.
 */
const bareOf = ({ spec, metadata }: Pod, name: string): Pod => {
  const { nodeName: _, ...rest } = spec as Pod["spec"] & { nodeName?: string }
  const containers = spec.containers.map(({ envFrom: _, lifecycle: __, ...each }) => each)
  const { namespace = "" } = metadata
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace }, spec: { ...rest, containers } } as Pod
}

/** Makes a starter; it watches the Pods of the instances' namespace. */
export const createStarter = async (place: Installation): Promise<Starter> => {
  const { admin, instances: namespace } = place
  const pods = admin.watch(podKind, { namespace })
  await pods.synced
  let template: Pod | undefined
  const addressed = new Map<string, number>()
  const unsubscribe = pods.subscribe(({ object: { metadata, status } }) => {
    if (status?.podIP !== undefined && !addressed.has(metadata.name)) addressed.set(metadata.name, now())
  })
  const addressedAt = (pod: string): number => addressed.get(pod) ?? Number.NaN

  /** Removes everything that a start has made, and waits until no Pod is left. */
  const clear = async (): Promise<void> => {
    const { items } = await admin.list(mcpInstanceKind, { namespace })
    for (const { metadata } of items) await admin.delete(mcpInstanceKind, { namespace, name: metadata.name })
    for (const { metadata } of [...pods.items()])
      await admin.delete(podKind, { namespace, name: metadata.name }, { gracePeriodSeconds: 1 })
    await find(pods, () => (pods.size === 0 ? true : undefined), "the Pods of a start are gone")
  }

  return {
    instance: async (run) => {
      const headers = { host: "localhost", authorization: `Bearer ${place.token(run)}` }
      await sleep(pauseOf(run))
      const sentAt = now()
      const answer = await post({ host: place.gateway, path: `/mcp/${targetName}`, headers })
      const pod = await find(pods, () => [...pods.items()][0], "the Pod of an instance")
      template = pod
      const instance = pod.metadata.ownerReferences?.[0]?.name ?? ""
      const start = { kind: "instance", pod: pod.metadata.name, instance, sentAt } as const
      await clear()
      return {
        ...start,
        addressedAt: addressedAt(start.pod),
        reachedAt: sentAt + waitOf(answer),
        answeredAt: answer.at,
      }
    },
    bare: async (run) => {
      if (template === undefined) throw new Error("start an instance first: a bare Pod has the spec of its Pod")
      const pod = `bare-${run}`
      await sleep(pauseOf(run))
      const sentAt = now()
      await admin.create(podKind, bareOf(template, pod))
      const host = await find(pods, () => pods.get(pod)?.status?.podIP, "the address of a bare Pod")
      const path = `/?host=${host}&port=${serverPort}`
      const answer = await post({ host: place.caller, path, headers: { host: "caller" } })
      const called = JSON.parse(answer.text) as { connectedAt: number; answeredAt: number; status: number }
      if (called.status !== 200) throw new Error(`a bare Pod answered ${called.status}`)
      await clear()
      const [reachedAt, answeredAt] = [called.connectedAt, answer.at]
      return { kind: "bare", pod, instance: "", sentAt, addressedAt: addressedAt(pod), reachedAt, answeredAt }
    },
    close: () => {
      unsubscribe()
      return pods.close()
    },
  }
}
