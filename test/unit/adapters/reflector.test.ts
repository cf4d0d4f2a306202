import { afterEach, expect, test } from "vitest"
import { createReflector, type ListWatchSource, type WatchFrame } from "../../../src/adapters/reflector.ts"
import type { Kind, KubeObject } from "../../../src/api/kinds/kind.ts"
import { type MCPTarget, mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import { AppError } from "../../../src/errors.ts"
import type { InvalidObject, Reflection } from "../../../src/ports/cluster.ts"
import type { TelemetryPort } from "../../../src/ports/telemetry.ts"
import { targetOf } from "../../support/contracts/objects.ts"
import { type FakeClock, fakeClock } from "../../support/fake-clock.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

/** A target as an API server would send it. */
const sent = (name: string, version: number, uid = `uid-${name}`, spec = {}): MCPTarget =>
  targetOf({ namespace: "reflow", name, uid, resourceVersion: String(version) }, spec)

/** A watch that the test speaks through. */
type OpenWatch = { readonly since: string; send(frame: WatchFrame): void; end(): void; readonly aborted: boolean }

/** A source whose lists are given and whose watches the test speaks through. */
const scripted = (lists: (readonly KubeObject[] | AppError)[]) => {
  const watches: OpenWatch[] = []
  let listed = 0
  const source: ListWatchSource = {
    list: async () => {
      const items = lists[Math.min(listed++, lists.length - 1)]
      if (items === undefined || items instanceof AppError) throw items
      return { items, resourceVersion: String(listed * 100) }
    },
    // deaf to its signal on purpose: a reflection must not depend on the source's manners
    watch: (since, signal) => {
      const frames: WatchFrame[] = []
      let wake = (): void => {}
      let ended = false
      watches.push({
        since,
        send: (frame) => {
          frames.push(frame)
          wake()
        },
        end: () => {
          ended = true
          wake()
        },
        get aborted() {
          return signal.aborted
        },
      })
      return (async function* () {
        while (!ended || frames.length > 0) {
          const frame = frames.shift()
          if (frame !== undefined) yield frame
          else
            await new Promise<void>((resolve) => {
              wake = resolve
            })
        }
      })()
    },
  }
  return { source, watches, listed: () => listed }
}

type World = ReturnType<typeof scripted> & {
  readonly clock: FakeClock
  readonly reflection: Reflection<MCPTarget>
  readonly told: string[]
  readonly invalid: InvalidObject[]
  readonly watch: () => OpenWatch
}

const open: Pick<Reflection<KubeObject>, "close">[] = []
afterEach(() => Promise.all(open.splice(0).map((reflection) => reflection.close())))

/** When each watch was last heard, as the metric says it. */
let heard: number | undefined
const telemetry = (): TelemetryPort => ({
  ...quietTelemetry(),
  gauge: ({ name }) => ({
    set: (value) => {
      if (name === "reflow_watch_last_event_timestamp_seconds") heard = value
    },
    inc: () => {},
  }),
})

const begin = async (...lists: (readonly KubeObject[] | AppError)[]): Promise<World> => {
  const clock = fakeClock()
  const script = scripted(lists)
  const invalid: InvalidObject[] = []
  const reflection = createReflector({
    kind: mcpTargetKind,
    source: script.source,
    clock,
    telemetry: telemetry(),
    onInvalid: (each) => invalid.push(each),
    random: () => 1,
  })
  open.push(reflection)
  const told: string[] = []
  reflection.subscribe(({ type, object, previous }) => {
    const before = previous === undefined ? "" : ` (was ${previous.metadata.resourceVersion})`
    told.push(`${type} ${object.metadata.name} ${object.metadata.resourceVersion}${before}`)
  })
  await clock.advance(0)
  const watch = () => {
    const last = script.watches.at(-1)
    if (last === undefined) throw new Error("no watch is open")
    return last
  }
  return { ...script, clock, reflection, told, invalid, watch }
}

test("a metric tells when the API server was last heard, and nothing once the reflection is closed", async () => {
  const { watch, clock, reflection } = await begin([sent("a", 1)])
  expect(heard).toBe(clock.now() / 1000)
  await clock.advance(40_000)
  watch().send({ type: "BOOKMARK", object: sent("", 101) })
  await clock.advance(0)
  expect(heard).toBe(clock.now() / 1000)
  await reflection.close()
  expect(heard).toBeNaN()
})

test("it lists, then watches from the list's version, and tells each change with the state before", async () => {
  const { told, watch, clock, reflection } = await begin([sent("a", 1)])
  expect(watch().since).toBe("100")
  watch().send({ type: "ADDED", object: sent("b", 101) })
  watch().send({ type: "MODIFIED", object: sent("a", 102) })
  watch().send({ type: "DELETED", object: sent("b", 103) })
  await clock.advance(0)
  expect(told).toEqual(["added a 1", "added b 101", "modified a 102 (was 1)", "deleted b 103 (was 101)"])
  expect([...reflection.items()].map(({ metadata }) => metadata.name)).toEqual(["a"])
})

test("objects are parsed with defaults, frozen, and without managedFields", async () => {
  const raw = sent("a", 1)
  const { reflection } = await begin([{ ...raw, metadata: { ...raw.metadata, managedFields: [{}] } } as KubeObject])
  const kept = reflection.get("a")
  expect(kept?.metadata).not.toHaveProperty("managedFields")
  expect(kept?.spec.isolationBoundary).toBe("per_user")
  expect(kept?.apiVersion).toBe("mcp.reflow.io/v1alpha1")
  expect(Object.isFrozen(kept?.spec)).toBe(true)
})

test("a watch that ends goes on from the last version heard, a bookmark's too, without a list", async () => {
  const { watch, clock, watches, listed } = await begin([])
  watch().send({ type: "BOOKMARK", object: sent("", 150) })
  await clock.advance(0)
  watch().end()
  await clock.advance(500)
  expect(watches.map(({ since }) => since)).toEqual(["100", "150"])
  expect(listed()).toBe(1)
})

test.each<[string, WatchFrame]>([
  ["410 in an ERROR frame", { type: "ERROR", object: { code: 410 } }],
  ["any other ERROR frame", { type: "ERROR", object: { code: 500 } }],
  ["a frame without version", { type: "ADDED", object: { ...sent("x", 1), metadata: { name: "x", uid: "u" } } }],
  [
    "a frame without uid",
    { type: "ADDED", object: { ...sent("x", 1), metadata: { name: "x", resourceVersion: "7" } } },
  ],
  ["a frame of unknown type", { type: "EXPLODED", object: sent("x", 1) } as unknown as WatchFrame],
])("after %s it lists anew and tells only what differs", async (_, frame) => {
  const { told, watch, clock, listed, watches } = await begin(
    [sent("a", 1), sent("b", 2), sent("c", 3)],
    [sent("a", 1), sent("b", 120), sent("d", 130)],
  )
  told.length = 0
  watch().send(frame)
  await clock.advance(500)
  expect(listed()).toBe(2)
  expect(watches.at(-1)?.since).toBe("200")
  expect(watches.map(({ aborted }) => aborted)).toEqual([true, false])
  expect(told).toEqual(["deleted c 3 (was 3)", "modified b 120 (was 2)", "added d 130"])
})

test("what was made anew under its name in a gap is a deletion, then an addition", async () => {
  const { told, watch, clock } = await begin([sent("a", 1, "one")], [sent("a", 150, "two")])
  watch().send({ type: "ERROR", object: { code: 410 } })
  await clock.advance(500)
  expect(told).toEqual(["added a 1", "deleted a 1 (was 1)", "added a 150"])
})

test("frames of an object's predecessor or of a version already held change nothing", async () => {
  const { told, watch, clock } = await begin([sent("a", 50, "two")])
  watch().send({ type: "DELETED", object: sent("a", 101, "one") })
  watch().send({ type: "ADDED", object: sent("a", 50, "two") })
  await clock.advance(0)
  expect(told).toEqual(["added a 50"])
})

test("an invalid state is skipped and told; the last valid one stays until the object is deleted", async () => {
  const { reflection, told, invalid, watch, clock } = await begin([sent("a", 1), sent("bad", 2, "u", { port: 0 })])
  expect(reflection.hasSynced()).toBe(true)
  watch().send({ type: "MODIFIED", object: sent("a", 101, "uid-a", { port: "x" }) })
  await clock.advance(0)
  expect(reflection.get("a")?.metadata.resourceVersion).toBe("1")
  expect(invalid.map(({ object, problem }) => `${object.metadata.name} ${problem.split(":")[0]}`)).toEqual([
    "bad spec.port",
    "a spec.port",
  ])
  watch().send({ type: "DELETED", object: sent("a", 102, "uid-a", { port: "x" }) })
  watch().send({ type: "MODIFIED", object: sent("bad", 103, "u") })
  await clock.advance(0)
  expect(told).toEqual(["added a 1", "deleted a 1 (was 1)", "added bad 103"])
})

test("a silence of 75 seconds is a dead watch: a new one goes on from the last version, without a list", async () => {
  const { clock, watches, watch, listed, reflection } = await begin([])
  await clock.advance(74_000)
  watch().send({ type: "BOOKMARK", object: sent("", 180) })
  await clock.advance(74_000)
  expect(watches).toHaveLength(1)
  expect(reflection.silenceMs()).toBe(74_000)
  await clock.advance(1_000)
  expect(watches.map(({ since }) => since)).toEqual(["100", "180"])
  expect(watches[0]?.aborted).toBe(true)
  expect(listed()).toBe(1)
})

test("failures are repeated after 0.5 s, doubling up to 2 s, and a healthy minute forgives them", async () => {
  const down = new AppError("ClusterUnavailable", { detail: "down" })
  const { clock, listed, reflection, watch, watches } = await begin(down, down, down, down, down, down, [])
  const waits: number[] = []
  for (let waited = 0; !reflection.hasSynced(); ) {
    const before = listed()
    await clock.advance(100)
    waited += 100
    if (listed() === before) continue
    waits.push(waited)
    waited = 0
  }
  expect(waits).toEqual([500, 1_000, 2_000, 2_000, 2_000, 2_000])
  await clock.advance(60_000)
  watch().end()
  await clock.advance(0)
  expect(watches).toHaveLength(2)
  watch().end()
  await clock.advance(499)
  expect(watches).toHaveLength(2)
  await clock.advance(1)
  expect(watches).toHaveLength(3)
})

test.each([
  [3, 3_000],
  [30, 4_000],
])("an API server that asks for %i s is left alone for %i ms", async (retryAfterSeconds, ms) => {
  const { clock, listed } = await begin(new AppError("ApiTooManyRequests", { detail: "busy", retryAfterSeconds }), [])
  await clock.advance(ms - 1)
  expect(listed()).toBe(1)
  await clock.advance(1)
  expect(listed()).toBe(2)
})

test("a list of many pages is told whole, and a hanging one is given up", async () => {
  const clock = fakeClock()
  const asked: (string | undefined)[] = []
  const script = scripted([])
  const source: ListWatchSource = {
    list: async (page) => {
      asked.push(page.continue)
      if (asked.length === 2) return new Promise(() => {})
      const at = Number(page.continue ?? 0)
      return { items: [sent(`p${at}`, 1)], resourceVersion: "9", ...(at < 2 ? { continue: String(at + 1) } : {}) }
    },
    watch: script.source.watch,
  }
  const longLists: boolean[] = []
  const onLongList = (isFirst: boolean) => longLists.push(isFirst)
  const reflection = createReflector({ kind: mcpTargetKind, source, clock, telemetry: quietTelemetry(), onLongList })
  open.push(reflection)
  await clock.advance(74_000)
  expect(reflection.hasSynced()).toBe(false)
  await clock.advance(2_000)
  await reflection.synced
  expect(asked).toEqual([undefined, "1", undefined, "1", "2"])
  expect(longLists).toEqual([true])
  expect(reflection.size).toBe(3)
  script.watches.at(-1)?.send({ type: "ERROR", object: { code: 410 } })
  await clock.advance(1_000)
  expect(longLists).toEqual([true, false])
})

test("of each page only what the kind keeps is left before the next page is asked for", async () => {
  const clock = fakeClock()
  const did: string[] = []
  const { schema: _, ...unchecked } = mcpTargetKind
  const kind: Kind<KubeObject> = {
    ...unchecked,
    keep: ({ apiVersion, kind: name, metadata }: KubeObject) => {
      did.push(`kept ${metadata.name}`)
      return { apiVersion, kind: name, metadata: { name: metadata.name, uid: metadata.uid ?? "" } }
    },
  }
  const source: ListWatchSource = {
    list: async (page) => {
      const at = Number(page.continue ?? 0)
      did.push(`list ${at}`)
      return { items: [sent(`p${at}`, 1)], resourceVersion: "9", ...(at < 1 ? { continue: String(at + 1) } : {}) }
    },
    watch: () => scripted([]).source.watch("", new AbortController().signal),
  }
  const reflection = createReflector({ kind, source, clock, telemetry: quietTelemetry() })
  open.push(reflection)
  await clock.advance(0)
  expect(did).toEqual(["list 0", "kept p0", "list 1", "kept p1"])
  const { apiVersion, kind: name } = mcpTargetKind
  expect(reflection.get("p0")).toEqual({ apiVersion, kind: name, metadata: { name: "p0", uid: "uid-p0" } })
  expect(Object.isFrozen(reflection.get("p0")?.metadata)).toBe(true)
})

test("a listener that throws does not keep the others from hearing", async () => {
  const { reflection, watch, clock, told } = await begin([])
  const heard: string[] = []
  reflection.subscribe(() => {
    throw new TypeError("bad listener")
  })
  const stop = reflection.subscribe(({ object }) => heard.push(object.metadata.name))
  watch().send({ type: "ADDED", object: sent("a", 101) })
  await clock.advance(0)
  stop()
  watch().send({ type: "ADDED", object: sent("b", 102) })
  await clock.advance(0)
  expect(heard).toEqual(["a"])
  expect(told).toEqual(["added a 101", "added b 102"])
})

test("closing ends the watch of a deaf source and leaves no timer behind", async () => {
  const { reflection, clock, watch, told } = await begin([])
  await reflection.close()
  expect(watch().aborted).toBe(true)
  expect(clock.pending).toBe(0)
  watch().send({ type: "ADDED", object: sent("a", 101) })
  await clock.advance(0)
  expect(told).toEqual([])
})
