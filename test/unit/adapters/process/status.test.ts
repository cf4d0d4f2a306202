import { expect, test } from "vitest"
import {
  type ContainerView,
  firstView,
  toEnded,
  toPodStatus,
  toRefused,
  toRunning,
  toStartError,
  toTerminated,
  toWaiting,
} from "../../../../src/adapters/process/status.ts"
import type { Container, Pod, PodStatus } from "../../../../src/api/kinds/pod.ts"

const at = Date.parse("2030-01-01T00:00:00.700Z")
const container: Container = { name: "mcp", image: "i", startupProbe: {}, readinessProbe: {} }
const pod = (spec: Partial<Pod["spec"]> = {}): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p" },
  spec: { containers: [container], ...spec },
})
const fresh = firstView("ContainerCreating")
const statusOf = (view: ContainerView, spec = {}, before?: PodStatus, now = at) =>
  toPodStatus({ pod: pod(spec), server: { container, view }, inits: [], before, now })

const running = toRunning(fresh, container, { pid: 42, restartCount: 0, now: at })
const exit = (code: number) =>
  toTerminated({ exit: { code, signal: null }, startedAt: at, endedAt: at + 1000, message: "words\n" })
const crashed = toEnded(running, exit(3))

test.each<[string, ContainerView, Partial<Pod["spec"]>, PodStatus["phase"]]>([
  ["before its first start", fresh, {}, "Pending"],
  ["running", running, {}, "Running"],
  ["between two lives", toWaiting(crashed, "CrashLoopBackOff"), {}, "Running"],
  ["ended with policy Always", crashed, { restartPolicy: "Always" }, "Running"],
  ["ended badly with policy Never", crashed, { restartPolicy: "Never" }, "Failed"],
  ["ended badly with policy OnFailure", crashed, { restartPolicy: "OnFailure" }, "Running"],
  ["ended well with policy OnFailure", toEnded(running, exit(0)), { restartPolicy: "OnFailure" }, "Succeeded"],
])("the phase of a Pod %s", (_name, view, spec, phase) => {
  expect(statusOf(view, spec).phase).toBe(phase)
})

test("a running container is neither started nor ready until its probes say so", () => {
  expect(running).toMatchObject({ started: false, ready: false })
  const { startupProbe: _, readinessProbe: __, ...unprobed } = container
  expect(toRunning(fresh, unprobed, { pid: 1, restartCount: 0, now: at })).toMatchObject({ started: true, ready: true })
})

test("a Pod that is not ready says which container is not", () => {
  const status = statusOf(running)
  expect(status.conditions?.map(({ type, status: value }) => `${type}=${value}`)).toEqual([
    "PodScheduled=True",
    "Initialized=True",
    "ContainersReady=False",
    "Ready=False",
  ])
  expect(status.conditions?.[3]).toMatchObject({
    reason: "ContainersNotReady",
    message: "containers with unready status: [mcp]",
  })
})

test("a condition's time moves only with its status", () => {
  const first = statusOf(running)
  const second = statusOf({ ...running, started: true, ready: true }, {}, first, at + 5_000)
  const times = Object.fromEntries(second.conditions?.map((each) => [each.type, each.lastTransitionTime]) ?? [])
  expect(times).toMatchObject({ PodScheduled: "2030-01-01T00:00:00Z", Ready: "2030-01-01T00:00:05Z" })
  expect(second.startTime).toBe("2030-01-01T00:00:00Z")
})

test("an end carries exit code, words and times", () => {
  expect(exit(3)).toEqual({
    exitCode: 3,
    reason: "Error",
    message: "words\n",
    startedAt: "2030-01-01T00:00:00Z",
    finishedAt: "2030-01-01T00:00:01Z",
  })
  expect(exit(0)).toMatchObject({ exitCode: 0, reason: "Completed", message: "words\n" })
  const silent = toTerminated({ exit: { code: 0, signal: null }, startedAt: at, endedAt: at, message: "" })
  expect(silent).not.toHaveProperty("message")
})

test("a signal gives its number and the exit code that a shell would give", () => {
  const ended = toTerminated({ exit: { code: null, signal: "SIGKILL" }, startedAt: at, endedAt: at, message: "" })
  expect(ended).toMatchObject({ exitCode: 137, signal: 9, reason: "Error" })
})

test("an end is kept as the last state through waiting and the next run, until the next end", () => {
  const waiting = toWaiting(crashed, "CrashLoopBackOff", "back-off")
  const again = toRunning(waiting, container, { pid: 43, restartCount: 1, now: at })
  const twice = toEnded(again, exit(4))
  for (const view of [waiting, again, twice]) expect(view.lastState?.terminated?.exitCode).toBe(3)
  expect(toWaiting(twice, "CrashLoopBackOff").lastState?.terminated?.exitCode).toBe(4)
  expect(statusOf(twice).containerStatuses?.[0]).toMatchObject({ restartCount: 1, containerID: "process://43" })
})

test("a program that could not be started waits with the words of its refusal", () => {
  const status = statusOf(toRefused(0, toStartError("not found", at))).containerStatuses?.[0]
  expect(status).toMatchObject({
    state: { waiting: { reason: "RunContainerError", message: "not found" } },
    lastState: { terminated: { exitCode: 128, reason: "StartError", message: "not found" } },
  })
})

/** The status of a Pod with two init containers in these states, before its server. */
const initializing = (first: ContainerView, second: ContainerView, spec: Partial<Pod["spec"]> = {}) => {
  const inits = [
    { container: { name: "one", image: "i" }, view: first },
    { container: { name: "two", image: "i" }, view: second },
  ]
  const server = { container, view: firstView("PodInitializing") }
  return toPodStatus({ pod: pod(spec), server, inits, before: undefined, now: at })
}
const untouched = firstView("PodInitializing")
const bare: Container = { name: "one", image: "i" }
const busy = toRunning(untouched, bare, { pid: 7, restartCount: 0, now: at })
const done = toEnded(busy, exit(0))
const failed = toEnded(busy, exit(3))

test.each<[string, ContainerView, ContainerView, Partial<Pod["spec"]>, PodStatus["phase"], string]>([
  ["before the first", untouched, untouched, {}, "Pending", "[one two]"],
  ["during the first", busy, untouched, {}, "Pending", "[one two]"],
  ["between the two", done, untouched, {}, "Pending", "[two]"],
  ["after a failure", failed, untouched, {}, "Pending", "[one two]"],
  ["between two attempts", toWaiting(failed, "CrashLoopBackOff"), untouched, {}, "Pending", "[one two]"],
  ["after a failure, to be repeated", failed, untouched, { restartPolicy: "OnFailure" }, "Pending", "[one two]"],
  ["after a failure with policy Never", failed, untouched, { restartPolicy: "Never" }, "Failed", "[one two]"],
])("a Pod is not initialized %s", (_name, first, second, spec, phase, incomplete) => {
  const status = initializing(first, second, spec)
  expect(status.phase).toBe(phase)
  expect(status.conditions?.find(({ type }) => type === "Initialized")).toMatchObject({
    status: "False",
    reason: "ContainersNotInitialized",
    message: `containers with incomplete status: ${incomplete}`,
  })
  expect(status.containerStatuses?.[0]?.state).toEqual({ waiting: { reason: "PodInitializing" } })
})

test("a Pod is initialized once all its init containers have ended well, and pending until its server runs", () => {
  const status = initializing(done, done, { restartPolicy: "Never" })
  expect(status.phase).toBe("Pending")
  expect(status.conditions?.find(({ type }) => type === "Initialized")?.status).toBe("True")
})

test("an init container is ready once it has ended well, not while it runs", () => {
  const readiness = (view: ContainerView) => initializing(view, untouched).initContainerStatuses?.[0]
  expect(readiness(busy)).toMatchObject({ ready: false, started: true, containerID: "process://7" })
  expect(readiness(done)).toMatchObject({ ready: true, started: false, state: { terminated: { exitCode: 0 } } })
  expect(readiness(failed)?.ready).toBe(false)
  expect(statusOf(running)).not.toHaveProperty("initContainerStatuses")
})
