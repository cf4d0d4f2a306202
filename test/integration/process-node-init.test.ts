import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest"
import { createMemoryCluster, type MemoryCluster } from "../../src/adapters/memory/cluster.ts"
import { createProcessNode, type ProcessNode } from "../../src/adapters/process/node.ts"
import { systemClock } from "../../src/adapters/system/clock.ts"
import { eventKind, secretKind, toSecretData } from "../../src/api/kinds/kubernetes.ts"
import { type Container, type ContainerStatus, type Pod, podKind } from "../../src/api/kinds/pod.ts"
import { labels } from "../../src/api/names.ts"
import { withoutSecrets } from "../../src/credentials/mask.ts"
import type { ClusterPort, LogStreamQuery } from "../../src/ports/cluster.ts"
import { eventually, processesRunning } from "../support/processes.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"
import { repositoryFile } from "../support/reflow.ts"

const namespace = "reflow"
const folder = mkdtempSync(join(tmpdir(), "reflow-node-init-"))
const base = { PATH: process.env.PATH ?? "", HOME: folder, LANG: "C.UTF-8" }
const telemetry = quietTelemetry()

let cluster: MemoryCluster
let node: ProcessNode
/** Milliseconds that the node's clock takes for a back-off; undefined: as long as it takes. */
let backOffMs: number | undefined
let names = 0

/** The system's clock, which can shorten the long waits of the back-off. */
const clock: typeof systemClock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms >= 10_000 ? (backOffMs ?? ms) : ms, signal),
}

beforeEach(async () => {
  backOffMs = undefined
  cluster = createMemoryCluster({ clock: systemClock, telemetry })
  const options = { cluster, namespace, clock, telemetry, workingDirectory: folder, hide: withoutSecrets }
  node = createProcessNode({ ...options, baseEnvironment: base })
  cluster.registerLogs(node)
  await node.ready
})
afterEach(async () => {
  await node.close()
  await cluster.close()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A file of this test alone. */
const file = (name: string): string => join(folder, `${name}-${names}`)
const shell = (name: string, script: string, more: Partial<Container> = {}): Container => ({
  ...{ name, image: "example.invalid/installer:1", command: ["sh", "-c", script] },
  ...more,
})
const server = (more: Partial<Container> = {}): Container => ({
  name: "mcp",
  image: "example.invalid/server:1",
  command: ["node", repositoryFile("test/fixtures/servers/plain.mjs")],
  ports: [{ name: "mcp", containerPort: 8080 }],
  startupProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1, failureThreshold: 60 },
  ...more,
})

/** A Pod with these init containers. */
const create = (initContainers: readonly Container[], spec: Partial<Pod["spec"]> = {}) =>
  cluster.create<Pod>(podKind, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `pod-${++names}`, namespace },
    spec: {
      ...{ initContainers, containers: [server()], restartPolicy: "Always", terminationGracePeriodSeconds: 2 },
      ...spec,
    },
  })

/** Resolves with the Pod once it is as wanted. */
const until = async (pod: Pod, holds: (pod: Pod) => boolean, ms = 10_000): Promise<Pod> => {
  let seen: Pod | undefined
  const look = async () => {
    seen = await cluster.get(podKind, { namespace, name: pod.metadata.name })
    return seen !== undefined && holds(seen)
  }
  await eventually(look, ms, "the Pod is as wanted").catch((error: Error) => {
    throw new Error(`${error.message}; it is ${JSON.stringify(seen?.status)}`)
  })
  return seen as Pod
}
const initOf = (pod: Pod, at = 0) => pod.status?.initContainerStatuses?.[at]
const serverOf = (pod: Pod) => pod.status?.containerStatuses?.[0]
const condition = (pod: Pod, type: string) => pod.status?.conditions?.find((each) => each.type === type)?.status
const isReady = (pod: Pod) => condition(pod, "Ready") === "True"
const isRunning = (pod: Pod) => initOf(pod)?.state?.running !== undefined
const isBackingOff = (pod: Pod) => initOf(pod)?.state?.waiting?.reason === "CrashLoopBackOff"
const eventsOf = async (pod: Pod) => {
  const { items } = await cluster.list(eventKind, { namespace })
  return items.filter(({ involvedObject }) => involvedObject.name === pod.metadata.name)
}
const refOf = ({ metadata: { name } }: Pod) => ({ namespace, name })
const logOf = (pod: Pod, query: Parameters<ClusterPort["podLogs"]>[1]) => cluster.podLogs(refOf(pod), query)
const streamOf = async (pod: Pod, query: LogStreamQuery) => {
  let text = ""
  for await (const part of cluster.streamLogs(refOf(pod), query)) text += part
  return text
}
const isGone = async (pod: Pod) => (await cluster.get(podKind, refOf(pod))) === undefined
/** Follows the Pod; the returned function gives the ends of a container's runs in their order. */
const watchEnds = (pod: Pod, statusOf: (pod: Pod) => ContainerStatus | undefined) => {
  const ends = new Map<string, { readonly exitCode: number; readonly message: string | undefined }>()
  const pods = cluster.watch(podKind, { namespace })
  pods.subscribe(({ object }) => {
    const status = statusOf(object)
    const end = status?.lastState?.terminated ?? status?.state?.terminated
    if (object.metadata.name !== pod.metadata.name || end === undefined) return
    const { exitCode, message } = end
    ends.set(`${exitCode} ${message}`, { exitCode, message })
  })
  return () => [...ends.values()]
}
const testOnLinux = test.runIf(process.platform === "linux")

describe("a Pod's init containers", () => {
  test("run one after another, each to its end, and then the server", async () => {
    const [order, go] = [file("order"), file("go")]
    const wait = `until [ -e ${go} ]; do sleep 0.02; done`
    const pod = await create([
      shell("first", `echo first >>${order}; ${wait}; echo end of first >>${order}`),
      shell("second", `echo second >>${order}`),
    ])
    const busy = await until(pod, isRunning)
    expect(busy.spec.nodeName).toBe("local")
    expect(busy.metadata.annotations?.[labels.nodePort]).toBeUndefined()
    expect(busy.status?.phase).toBe("Pending")
    expect([condition(busy, "PodScheduled"), condition(busy, "Initialized")]).toEqual(["True", "False"])
    expect(initOf(busy)?.state?.running?.startedAt).toMatch(/^\d{4}-/)
    expect(initOf(busy, 1)?.state).toEqual({ waiting: { reason: "PodInitializing" } })
    expect(serverOf(busy)?.state).toEqual({ waiting: { reason: "PodInitializing" } })
    writeFileSync(go, "")
    const ready = await until(pod, isReady)
    expect(readFileSync(order, "utf8")).toBe("first\nend of first\nsecond\n")
    expect(condition(ready, "Initialized")).toBe("True")
    for (const at of [0, 1])
      expect(initOf(ready, at)).toMatchObject({
        ready: true,
        restartCount: 0,
        state: { terminated: { exitCode: 0, reason: "Completed", startedAt: expect.any(String) } },
      })
    const started = (await eventsOf(pod)).filter(({ reason }) => reason === "Started")
    const texts = ["first", "second", "mcp"].map((name) => `Started container ${name}`)
    expect(started.map(({ message }) => message).sort()).toEqual(texts.sort())
    expect(ready.metadata.annotations?.[labels.nodePort]).toMatch(/^\d+$/)
  })

  test("do not run again when the server is restarted", async () => {
    const runs = file("runs")
    const pod = await until(await create([shell("once", `echo run >>${runs}`)]), isReady)
    process.kill(Number(serverOf(pod)?.containerID?.replace("process://", "")), "SIGKILL")
    await until(pod, (each) => isReady(each) && serverOf(each)?.restartCount === 1)
    expect(readFileSync(runs, "utf8")).toBe("run\n")
  })

  test("leave out a sidecar: the server starts without it", async () => {
    const mark = file("sidecar")
    const sidecar = shell("sidecar", `touch ${mark}; sleep 30`, { restartPolicy: "Always" })
    const pod = await until(await create([sidecar]), isReady)
    expect(initOf(pod)).toBeUndefined()
    expect(existsSync(mark)).toBe(false)
  })

  test("get the base environment and their own variables, and none of the server's", async () => {
    const of = (name: string, value: string) =>
      cluster.create(secretKind, {
        ...{ apiVersion: "v1", kind: "Secret", metadata: { name, namespace } },
        data: toSecretData({ [`TOKEN_OF_${name.toUpperCase()}`]: value }),
      })
    await of("server", "canary-of-the-server")
    await of("own", "its own")
    const seen = file("environment")
    const script = `const { writeFileSync } = require("node:fs"); writeFileSync(process.argv[1], JSON.stringify(process.env))`
    const init: Container = {
      name: "init",
      image: "i",
      command: [process.execPath, "-e", script, seen],
      env: [
        { name: "HOME", value: "/tmp" },
        { name: "MODE", value: "x" },
      ],
      envFrom: [{ secretRef: { name: "own" } }],
    }
    const mine = server({ envFrom: [{ secretRef: { name: "server" } }], env: [{ name: "OTHER", value: "y" }] })
    await until(await create([init], { containers: [mine] }), isReady)
    const { PWD: _pwd, SHLVL: _level, _: _last, ...env } = JSON.parse(readFileSync(seen, "utf8"))
    expect(env).toEqual({ ...base, MODE: "x", TOKEN_OF_OWN: "its own" })
  })
})

describe("an init container that fails", () => {
  test("is run again at once and then with the back-off, until its cause is gone", async () => {
    const cured = file("cured")
    const pod = await create([shell("init", `echo trying; [ -e ${cured} ] || { echo no disk >&2; exit 3; }`)])
    const failed = await until(pod, isBackingOff)
    expect(failed.status?.phase).toBe("Pending")
    expect(condition(failed, "Initialized")).toBe("False")
    expect(serverOf(failed)?.state).toEqual({ waiting: { reason: "PodInitializing" } })
    expect(initOf(failed)).toMatchObject({
      ready: false,
      restartCount: 1,
      lastState: { terminated: { exitCode: 3, reason: "Error" } },
    })
    expect(initOf(failed)?.state?.waiting?.message).toMatch(/^back-off 10s restarting failed container=init pod=/)
    const backOff = async () => (await eventsOf(pod)).find(({ reason }) => reason === "BackOff")?.message
    expect(await backOff()).toMatch(/^Back-off restarting failed container=init pod=/)
    expect(await logOf(pod, { container: "init", previous: true })).toContain("no disk\n")
  })

  test("succeeds once the cause is gone: the server starts, and the failure stays the last state", async () => {
    backOffMs = 50
    const cured = file("cured")
    const pod = await create([shell("init", `[ -e ${cured} ]`)])
    await until(pod, (each) => (initOf(each)?.restartCount ?? 0) >= 2)
    writeFileSync(cured, "")
    const ready = await until(pod, isReady)
    expect(initOf(ready)).toMatchObject({
      state: { terminated: { exitCode: 0 } },
      lastState: { terminated: { exitCode: 1, reason: "Error" } },
    })
    expect(initOf(ready)?.restartCount).toBeGreaterThanOrEqual(2)
    expect(serverOf(ready)?.restartCount).toBe(0)
  })

  test("with restart policy Never fails the Pod, and the server never runs", async () => {
    const pod = await create([shell("init", "exit 4"), shell("next", "true")], { restartPolicy: "Never" })
    const failed = await until(pod, (each) => each.status?.phase === "Failed")
    expect(initOf(failed)?.state?.terminated).toMatchObject({ exitCode: 4, reason: "Error" })
    expect(initOf(failed, 1)?.state?.waiting?.reason).toBe("PodInitializing")
    expect(serverOf(failed)?.state?.waiting?.reason).toBe("PodInitializing")
  })

  test("with restart policy OnFailure is run again", async () => {
    const pod = await create([shell("init", "exit 4")], { restartPolicy: "OnFailure" })
    await until(pod, isBackingOff)
  })

  test("names a program that does not exist: says which", async () => {
    const pod = await create([{ name: "init", image: "i", command: ["no-such-program"] }])
    const failed = await until(pod, (each) => initOf(each)?.lastState !== undefined)
    const message = 'exec: "no-such-program": executable file not found in $PATH'
    expect(initOf(failed)?.lastState?.terminated).toMatchObject({ exitCode: 128, reason: "StartError", message })
    expect((await eventsOf(pod)).map((each) => each.message)).toContain(`Error: ${message}`)
  })

  test("has no command: says that commands are run here, not images", async () => {
    const pod = await create([{ name: "init", image: "example.invalid/only:1" }])
    const failed = await until(pod, (each) => initOf(each)?.state?.waiting?.reason === "ErrImageNeverPull")
    expect(initOf(failed)?.state?.waiting?.message).toMatch(
      /runs commands, not images: .* to run example.invalid\/only:1/,
    )
    expect(failed.spec.nodeName).toBe("local")
    expect(failed.status?.phase).toBe("Pending")
    expect((await eventsOf(pod)).map(({ message }) => message).join()).toContain("Error: ErrImageNeverPull: ")
  })

  test("misses a Secret: says which, and runs when it appears", async () => {
    const pod = await create([shell("init", 'test -n "$KEY"', { envFrom: [{ secretRef: { name: "late" } }] })])
    const waiting = await until(pod, (each) => initOf(each)?.state?.waiting?.reason === "CreateContainerConfigError")
    expect(initOf(waiting)?.state?.waiting?.message).toBe('secret "late" not found')
    const metadata = { name: "late", namespace }
    await cluster.create(secretKind, { apiVersion: "v1", kind: "Secret", metadata, data: toSecretData({ KEY: "x" }) })
    expect(initOf(await until(pod, isReady))?.restartCount).toBe(0)
  })
})

describe("the termination message of a container", () => {
  test("is what it wrote into its file, after success too, and the file is gone", async () => {
    const path = join(folder, "messages", `${names}`)
    const write = `printf '{"kind":"installed"}' >${path}`
    const ready = await until(await create([shell("init", write, { terminationMessagePath: path })]), isReady)
    expect(initOf(ready)?.state?.terminated).toMatchObject({ exitCode: 0, message: '{"kind":"installed"}' })
    expect(existsSync(path)).toBe(false)
  })

  test("is of its own run: a run that writes nothing has none", async () => {
    const [path, once] = [file("message"), file("once")]
    const write = `[ -e ${once} ] && exit 4; touch ${once}; printf first >${path}; exit 3`
    const pod = await create([shell("init", write, { terminationMessagePath: path })])
    const ends = watchEnds(pod, (each) => initOf(each))
    await until(pod, isBackingOff)
    expect(ends()).toEqual([
      { exitCode: 3, message: "first" },
      { exitCode: 4, message: undefined },
    ])
  })

  test("is bounded: the end of a long one", async () => {
    const path = file("message")
    const script = "process.stdout.write('x'.repeat(9000) + 'y'.repeat(4096))"
    const write = `node -e "${script}" >${path}`
    const ready = await until(await create([shell("init", write, { terminationMessagePath: path })]), isReady)
    expect(initOf(ready)?.state?.terminated?.message).toBe("y".repeat(4096))
  })

  test("of the server comes from its file, else by its policy from the log", async () => {
    const [path, once] = [file("message"), file("once")]
    const script = `echo from the log; [ -e ${once} ] && exit 3; touch ${once}; printf 'from the file' >${path}; exit 3`
    const more = { terminationMessagePath: path, terminationMessagePolicy: "FallbackToLogsOnError" }
    const pod = await create([], { containers: [shell("mcp", script, more)] })
    const ends = watchEnds(pod, serverOf)
    await until(pod, (each) => serverOf(each)?.state?.waiting?.reason === "CrashLoopBackOff")
    expect(ends()).toEqual([
      { exitCode: 3, message: "from the file" },
      { exitCode: 3, message: "from the log\n" },
    ])
  })
})

test("a server that ends well has no message from its log", async () => {
  const mcp = shell("mcp", "echo words", { terminationMessagePolicy: "FallbackToLogsOnError" })
  const pod = await create([], { containers: [mcp], restartPolicy: "OnFailure" })
  const ended = await until(pod, (each) => each.status?.phase === "Succeeded")
  expect(await logOf(pod, {})).toBe("words\n")
  expect(serverOf(ended)?.state?.terminated).not.toHaveProperty("message")
})

describe("the logs of a Pod with init containers", () => {
  test("are told apart by the container's name; without a name it is the server's", async () => {
    const pod = await until(await create([shell("one", "echo from one"), shell("two", "echo from two")]), isReady)
    const port = pod.metadata.annotations?.[labels.nodePort]
    expect(await logOf(pod, { container: "one" })).toBe("from one\n")
    expect(await logOf(pod, { container: "two" })).toBe("from two\n")
    expect(await logOf(pod, { container: "two", previous: true })).toBe("")
    for (const query of [{}, { container: "mcp" }]) expect(await logOf(pod, query)).toBe(`listening on ${port}\n`)
    expect(await streamOf(pod, { container: "one" })).toBe("from one\n")
    expect(await streamOf(pod, { container: "one", follow: true })).toBe("from one\n")
    const unknown = { code: "ApiInvalid", message: expect.stringContaining("container three is not valid for pod") }
    await expect(logOf(pod, { container: "three" })).rejects.toMatchObject(unknown)
    await expect(streamOf(pod, { container: "three", follow: true })).rejects.toMatchObject(unknown)
  })

  test("follow an init container to its end, while the server's is still empty", async () => {
    const go = file("go")
    const pod = await create([shell("init", `echo begins; until [ -e ${go} ]; do sleep 0.02; done; echo ends`)])
    await until(pod, isRunning)
    expect(await logOf(pod, {})).toBe("")
    const seen: string[] = []
    for await (const part of cluster.streamLogs(refOf(pod), { container: "init", follow: true })) {
      seen.push(part)
      writeFileSync(go, "")
    }
    expect(seen.join("")).toBe("begins\nends\n")
  })
})

describe("a Pod that is deleted while an init container runs", () => {
  testOnLinux("ends it and what it started, and runs nothing more", async () => {
    const mark = `init-grandchild-${process.pid}`
    const [path, next] = [file("message"), file("next")]
    const pod = await create([
      shell("init", `echo half >${path}; sh -c 'while :; do sleep 0.1; done' ${mark} & wait`, {
        terminationMessagePath: path,
      }),
      shell("next", `touch ${next}`),
    ])
    await until(pod, isRunning)
    await eventually(() => processesRunning(mark).length > 0, 5_000, "the grandchild runs")
    await eventually(() => existsSync(path), 5_000, "the message is written")
    await cluster.delete(podKind, refOf(pod))
    await eventually(() => isGone(pod), 1_500, "the Pod is gone before its grace has passed")
    expect(processesRunning(mark)).toEqual([])
    expect([existsSync(path), existsSync(next)]).toEqual([false, false])
  })

  testOnLinux("kills it after the grace period if it ignores SIGTERM", async () => {
    const mark = `init-deaf-${process.pid}`
    const deaf = ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done", mark]
    const pod = await create([{ name: "init", image: "i", command: deaf }], { terminationGracePeriodSeconds: 1 })
    await until(pod, isRunning)
    await eventually(async () => (await logOf(pod, { container: "init" })) === "deaf\n", 5_000, "it is deaf")
    const began = performance.now()
    await cluster.delete(podKind, refOf(pod))
    await eventually(() => isGone(pod), 5_000, "the Pod is gone")
    expect(performance.now() - began).toBeGreaterThan(900)
    expect(processesRunning(mark)).toEqual([])
  })

  test("while it waits for its next attempt, goes at once", async () => {
    const pod = await create([shell("init", "exit 1")])
    await until(pod, isBackingOff)
    await cluster.delete(podKind, refOf(pod))
    await eventually(() => isGone(pod), 1_000, "the Pod is gone")
  })

  testOnLinux("or whose node is closed then, leaves no process", async () => {
    const mark = `init-closing-${process.pid}`
    const pod = await create([shell("init", `sh -c 'while :; do sleep 0.1; done' ${mark} & wait`)])
    await until(pod, isRunning)
    await eventually(() => processesRunning(mark).length > 0, 5_000, "the grandchild runs")
    await node.close()
    expect(processesRunning(mark)).toEqual([])
  })
})
