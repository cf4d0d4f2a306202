import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest"
import { createMemoryCluster, type MemoryCluster } from "../../src/adapters/memory/cluster.ts"
import { createProcessNode, type ProcessNode } from "../../src/adapters/process/node.ts"
import { systemClock } from "../../src/adapters/system/clock.ts"
import { eventKind, secretKind, toSecretData } from "../../src/api/kinds/kubernetes.ts"
import { type Container, type Pod, podKind } from "../../src/api/kinds/pod.ts"
import { labels } from "../../src/api/names.ts"
import { withoutSecrets } from "../../src/credentials/mask.ts"
import { eventually, processesRunning } from "../support/processes.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"
import { repositoryFile } from "../support/reflow.ts"

const namespace = "reflow"
const folder = mkdtempSync(join(tmpdir(), "reflow-node-"))
const base = { PATH: process.env.PATH ?? "", HOME: folder, LANG: "C.UTF-8" }
const fixture = (name: string) => repositoryFile(`test/fixtures/servers/${name}.mjs`)
const telemetry = quietTelemetry()

let cluster: MemoryCluster
let node: ProcessNode
let names = 0

beforeEach(async () => {
  cluster = createMemoryCluster({ clock: systemClock, telemetry })
  const options = { cluster, namespace, clock: systemClock, telemetry, workingDirectory: folder, hide: withoutSecrets }
  node = createProcessNode({ ...options, baseEnvironment: base })
  cluster.registerLogs(node)
  await node.ready
})
afterEach(async () => {
  await node.close()
  await cluster.close()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const startup = { tcpSocket: { port: 8080 }, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 60 }

/** A Pod whose server is a fixture with these arguments. */
const create = (command: readonly string[], more: Partial<Container> = {}, spec: Partial<Pod["spec"]> = {}) => {
  const container: Container = {
    name: "mcp",
    image: "example.invalid/server:1",
    command,
    env: [
      { name: "HOME", value: "/tmp" },
      { name: "PORT", value: "8080" },
    ],
    ports: [{ name: "mcp", containerPort: 8080 }],
    startupProbe: startup,
    readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 10 },
    terminationMessagePolicy: "FallbackToLogsOnError",
    ...more,
  }
  return cluster.create<Pod>(podKind, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `pod-${++names}`, namespace },
    spec: { containers: [container], restartPolicy: "Always", terminationGracePeriodSeconds: 2, ...spec },
  })
}
const plain = (...args: string[]): string[] => ["node", fixture("plain"), ...args]

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
const stateOf = (pod: Pod) => pod.status?.containerStatuses?.[0]
const condition = (pod: Pod, type: string) => pod.status?.conditions?.find((each) => each.type === type)
const isReady = (pod: Pod) => condition(pod, "Ready")?.status === "True"
const pidOf = (pod: Pod) => Number(stateOf(pod)?.containerID?.replace("process://", ""))
const eventsOf = async (pod: Pod) => {
  const { items } = await cluster.list(eventKind, { namespace })
  return items.filter(({ involvedObject }) => involvedObject.name === pod.metadata.name)
}
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
/** Tests that look for processes by their command line need Linux' /proc. */
const testOnLinux = test.runIf(process.platform === "linux")
const deletePod = (pod: Pod) => cluster.delete(podKind, { namespace, name: pod.metadata.name })
const isGone = async (pod: Pod) => (await cluster.get(podKind, { namespace, name: pod.metadata.name })) === undefined

describe("a Pod whose server works", () => {
  test("is bound, runs on a port of its own, and becomes ready within a second", async () => {
    const began = performance.now()
    const pod = await until(await create(plain()), isReady)
    expect(performance.now() - began).toBeLessThan(2_000)
    expect(pod.spec.nodeName).toBe("local")
    expect(pod.status).toMatchObject({ phase: "Running", podIP: "127.0.0.1" })
    expect(condition(pod, "PodScheduled")?.status).toBe("True")
    expect(stateOf(pod)).toMatchObject({ ready: true, started: true, restartCount: 0, state: { running: {} } })
    const port = pod.metadata.annotations?.[labels.nodePort]
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404)
    expect(await cluster.podLogs({ namespace, name: pod.metadata.name }, {})).toBe(`listening on ${port}\n`)
  })

  test("gets the base environment, its own variables and its Secret, and nothing else", async () => {
    process.env.REFLOW_TEST_CANARY = "of the parent"
    const file = join(folder, "environment.json")
    const metadata = { name: "credentials", namespace }
    const token = "canary-secret $(MODE)$$"
    const data = toSecretData({ API_TOKEN: token, PORT: "1" })
    await cluster.create(secretKind, { apiVersion: "v1", kind: "Secret", metadata, data })
    const pod = await create(plain(`file=${file}`, "say=token canary-secret", "$(PORT)", "$(API_TOKEN)"), {
      env: [
        { name: "HOME", value: "/tmp" },
        { name: "MODE", value: "x" },
        { name: "PORT", value: "8080" },
      ],
      envFrom: [{ secretRef: { name: "credentials" } }],
    })
    const port = (await until(pod, isReady)).metadata.annotations?.[labels.nodePort]
    const { env, argv } = JSON.parse(readFileSync(file, "utf8"))
    // what a shell adds by itself
    const { PWD: _pwd, SHLVL: _level, _: _last, ...own } = env
    expect(own).toEqual({ ...base, MODE: "x", API_TOKEN: token, PORT: port })
    expect(argv.slice(-2)).toEqual([port, token])
    delete process.env.REFLOW_TEST_CANARY
    expect(JSON.stringify(telemetry.lines)).not.toContain("canary-secret")
  })

  test("answers an HTTP probe with any status below 400", async () => {
    const probe = { httpGet: { path: "/health", port: "mcp" } }
    await until(await create(plain("health"), { startupProbe: probe, readinessProbe: probe }), isReady)
  })
})

describe("a Pod whose server does not work", () => {
  test("ends at once: is restarted at once, then waits, with exit code and last words", async () => {
    const pod = await create(plain("die=3", "say=no configuration"))
    const failed = await until(pod, (each) => stateOf(each)?.state?.waiting?.reason === "CrashLoopBackOff", 3_000)
    expect(stateOf(failed)).toMatchObject({
      ready: false,
      restartCount: 1,
      lastState: { terminated: { exitCode: 3, reason: "Error", message: "no configuration\n" } },
    })
    expect(stateOf(failed)?.state?.waiting?.message).toMatch(/^back-off 10s restarting failed container=mcp pod=/)
    const ref = { namespace, name: pod.metadata.name }
    expect(await cluster.podLogs(ref, { previous: true })).toBe("no configuration\n")
    expect((await eventsOf(pod)).map(({ reason }) => reason)).toContain("BackOff")
  })

  testOnLinux("leaves a process outside its group that holds its output: its end is told all the same", async () => {
    const pod = await create(["sh", "-c", "setsid sleep 4 & exit 3"])
    const failed = await until(pod, (each) => stateOf(each)?.lastState?.terminated !== undefined, 3_500)
    expect(stateOf(failed)?.lastState?.terminated?.exitCode).toBe(3)
  })

  test("keeps the value of a Secret out of its status", async () => {
    const metadata = { name: "leaky", namespace }
    const data = toSecretData({ API_TOKEN: "canary-leak" })
    await cluster.create(secretKind, { apiVersion: "v1", kind: "Secret", metadata, data })
    const command = ["sh", "-c", 'echo "bad token $API_TOKEN" >&2; exit 1']
    const pod = await create(command, { envFrom: [{ secretRef: { name: "leaky" } }] })
    const failed = await until(pod, (each) => stateOf(each)?.lastState?.terminated !== undefined)
    expect(stateOf(failed)?.lastState?.terminated?.message).toBe("bad token •••\n")
    expect(JSON.stringify(await eventsOf(pod)) + JSON.stringify(telemetry.lines)).not.toContain("canary-leak")
  })

  test("is killed by a signal: the signal's number is kept, and it is restarted", async () => {
    const pod = await until(await create(plain()), isReady)
    process.kill(pidOf(pod), "SIGKILL")
    const again = await until(pod, (each) => isReady(each) && stateOf(each)?.restartCount === 1)
    expect(stateOf(again)?.lastState?.terminated).toMatchObject({ exitCode: 137, signal: 9, reason: "Error" })
  })

  test("names a program that does not exist: says which", async () => {
    const pod = await create(["no-such-program"])
    const failed = await until(pod, (each) => stateOf(each)?.lastState !== undefined)
    expect(stateOf(failed)?.lastState?.terminated).toMatchObject({
      exitCode: 128,
      reason: "StartError",
      message: 'exec: "no-such-program": executable file not found in $PATH',
    })
  })

  test("names a program by $(NAME) that does not exist: says so in the Pod's own words", async () => {
    const data = toSecretData({ PROGRAM: "canary-program" })
    await cluster.create(secretKind, { apiVersion: "v1", kind: "Secret", metadata: { name: "named", namespace }, data })
    const pod = await create(["$(PROGRAM)"], { envFrom: [{ secretRef: { name: "named" } }] })
    const failed = await until(pod, (each) => stateOf(each)?.lastState !== undefined)
    const message = 'exec: "$(PROGRAM)": executable file not found in $PATH'
    expect(stateOf(failed)?.lastState?.terminated).toMatchObject({ reason: "StartError", message })
    expect(JSON.stringify([failed, await eventsOf(failed), telemetry.lines])).not.toContain("canary-program")
  })

  test("makes too much of its environment by $(NAME): says of which variable, and starts nothing", async () => {
    const env = Array.from({ length: 40 }, (_, at) => ({
      name: `V${at}`,
      value: at === 0 ? "xx" : `$(V${at - 1})`.repeat(2),
    }))
    const failed = await until(await create(plain(), { env }), (each) => stateOf(each)?.lastState !== undefined)
    expect(stateOf(failed)?.lastState?.terminated?.message).toMatch(/^The environment variable V16 becomes longer than/)
  })

  testOnLinux("has a larger environment than the machine takes: says so, without any of it", async () => {
    const data = toSecretData({ HUGE: "canary".repeat(30_000) })
    await cluster.create(secretKind, { apiVersion: "v1", kind: "Secret", metadata: { name: "huge", namespace }, data })
    const pod = await create(plain(), { envFrom: [{ secretRef: { name: "huge" } }] })
    const failed = await until(pod, (each) => stateOf(each)?.lastState !== undefined)
    const message = "the process could not be started (E2BIG)"
    expect(stateOf(failed)?.lastState?.terminated).toMatchObject({ exitCode: 128, reason: "StartError", message })
  })

  test("has no command: says that commands are run here, not images", async () => {
    const pod = await cluster.create<Pod>(podKind, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "image-only", namespace },
      spec: { containers: [{ name: "mcp", image: "example.invalid/only:1" }] },
    })
    const failed = await until(pod, (each) => stateOf(each)?.state?.waiting?.reason === "ErrImageNeverPull")
    expect(stateOf(failed)?.state?.waiting?.message).toMatch(/runs commands, not images: give the target a command/)
    expect(failed.status?.phase).toBe("Pending")
    expect(failed.spec.nodeName).toBe("local")
  })

  test("misses a Secret: says which, and starts when it appears", async () => {
    const pod = await create(plain(), { envFrom: [{ secretRef: { name: "late" } }] })
    const waiting = await until(pod, (each) => stateOf(each)?.state?.waiting?.reason === "CreateContainerConfigError")
    expect(stateOf(waiting)?.state?.waiting?.message).toBe('secret "late" not found')
    await cluster.create(secretKind, { apiVersion: "v1", kind: "Secret", metadata: { name: "late", namespace } })
    expect(stateOf(await until(pod, isReady))?.restartCount).toBe(0)
  })

  test("misses a key of a Secret: says which, and starts when it appears", async () => {
    const metadata = { name: "partly", namespace }
    await cluster.create(secretKind, { apiVersion: "v1", kind: "Secret", metadata, data: toSecretData({ OTHER: "x" }) })
    const env = [{ name: "TOKEN", valueFrom: { secretKeyRef: { name: "partly", key: "k" } } }]
    const pod = await create(plain(), { env })
    const waiting = await until(pod, (each) => stateOf(each)?.state?.waiting?.reason === "CreateContainerConfigError")
    expect(stateOf(waiting)?.state?.waiting?.message).toBe("couldn't find key k in Secret reflow/partly")
    await cluster.mergePatch(secretKind, metadata, { data: toSecretData({ k: "value" }) })
    expect(stateOf(await until(pod, isReady))?.restartCount).toBe(0)
  })

  test("asks for what only a real node has: says so instead of starting without it", async () => {
    const env = [{ name: "CPUS", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } }]
    const pod = await create(plain(), { env })
    const waiting = await until(pod, (each) => stateOf(each)?.state?.waiting?.reason === "CreateContainerConfigError")
    expect(stateOf(waiting)?.state?.waiting?.message).toContain("env CPUS: the embedded cluster")
    expect((await eventsOf(pod)).find(({ reason }) => reason === "Failed")?.message).toContain("resourceFieldRef")
  })

  /** Holds its port by a connection from there, so that no other program can listen there, and never listens itself. */
  const holdPort = `const { createServer, connect } = require("node:net")
    const other = createServer().listen(0, "127.0.0.1", () => {
      const { port } = other.address()
      connect({ port, host: "127.0.0.1", localAddress: "127.0.0.1", localPort: Number(process.env.PORT) })
    })`
  const mute = [process.execPath, "-e", holdPort]

  test("never listens: is killed past the startup probe's threshold and tells why in an Event", async () => {
    const probe = { ...startup, failureThreshold: 2 }
    const pod = await create(mute, { startupProbe: probe })
    const killed = await until(pod, (each) => stateOf(each)?.restartCount === 1)
    expect(stateOf(killed)?.lastState?.terminated).toMatchObject({ exitCode: 143, signal: 15 })
    const events = await eventsOf(pod)
    const unhealthy = events.find(({ reason }) => reason === "Unhealthy")
    expect(unhealthy?.message).toMatch(/^Startup probe failed: dial tcp 127.0.0.1:\d+: connect: connection refused$/)
    expect(events.find(({ reason }) => reason === "Killing")?.message).toMatch(/failed startup probe/)
  })

  test("answers the probe's path with 404: an Event says the status", async () => {
    const probe = { httpGet: { path: "/health", port: 8080 }, periodSeconds: 1, failureThreshold: 30 }
    const pod = await create(plain(), { startupProbe: probe })
    const tells = async () =>
      (await eventsOf(pod)).some(
        ({ message }) => message === "Startup probe failed: HTTP probe failed with statuscode: 404",
      )
    await eventually(tells, 5_000, "the Event")
  })

  test("finds its port stolen: gets another one without counting a restart", async () => {
    const file = join(folder, "stolen")
    const env = [{ name: "MARK_FILE", value: file }]
    const hasAnotherPort = (each: Pod) =>
      existsSync(file) && each.metadata.annotations?.[labels.nodePort] !== readFileSync(file, "utf8")
    const created = await create(["node", fixture("stolen-port")], { env })
    // the thief may answer the probe, too: ready counts only at the other port
    const pod = await until(created, (each) => isReady(each) && hasAnotherPort(each) && pidOf(each) > 0)
    expect(stateOf(pod)?.restartCount).toBe(0)
    expect(stateOf(pod)?.lastState).toBeUndefined()
  })
})

describe("a Pod that is deleted", () => {
  testOnLinux("ends its server and what the server started, then goes", async () => {
    const mark = `grandchild-${process.pid}`
    const pod = await until(await create(plain(`grandchild=${mark}`)), isReady)
    expect(processesRunning(mark)).toHaveLength(1)
    await deletePod(pod)
    await eventually(() => isGone(pod), 1_500, "the Pod is gone before its grace has passed")
    expect(isAlive(pidOf(pod))).toBe(false)
    await eventually(() => processesRunning(mark).length === 0, 1_000, "the grandchild is gone")
  })

  test("kills a server that ignores SIGTERM after the grace period", async () => {
    const pod = await until(await create(plain("deaf")), isReady)
    const began = performance.now()
    await deletePod(pod)
    await eventually(() => isGone(pod), 6_000, "the Pod is gone")
    expect(performance.now() - began).toBeGreaterThan(1_900)
    expect(isAlive(pidOf(pod))).toBe(false)
  })

  test("is killed at once when it is deleted by force", async () => {
    const pod = await until(await create(plain("deaf"), {}, { terminationGracePeriodSeconds: 30 }), isReady)
    await deletePod(pod)
    await cluster.delete(podKind, { namespace, name: pod.metadata.name }, { gracePeriodSeconds: 0 })
    await eventually(() => !isAlive(pidOf(pod)), 2_000, "the server is gone")
  })

  test("while it waits for its next start, goes at once", async () => {
    const pod = await create(plain("die=1"))
    await until(pod, (each) => stateOf(each)?.state?.waiting?.reason === "CrashLoopBackOff")
    await deletePod(pod)
    await eventually(() => isGone(pod), 1_000, "the Pod is gone")
  })
})

describe("the node's own end", () => {
  testOnLinux("close ends every server, also one that ignores SIGTERM, and leaves no watcher", async () => {
    const mark = `closing-${process.pid}`
    const pods = await Promise.all([
      create(plain(`mark=${mark}`)),
      create(plain(`mark=${mark}`, "deaf"), {}, { terminationGracePeriodSeconds: 30 }),
    ])
    for (const pod of pods) await until(pod, isReady)
    expect(processesRunning(`mark=${mark}`).length).toBeGreaterThanOrEqual(2)
    await deletePod(pods[1] as Pod)
    await node.close()
    await eventually(() => processesRunning(`mark=${mark}`).length === 0, 1_000, "nothing is left")
  })

  testOnLinux("a watcher ends with its server", async () => {
    const mark = `watcher-${process.pid}`
    const pod = await until(await create(plain(`mark=${mark}`)), isReady)
    expect(processesRunning(`mark=${mark}`).length).toBe(2)
    process.kill(pidOf(pod), "SIGTERM")
    await until(pod, (each) => isReady(each) && stateOf(each)?.restartCount === 1)
    expect(processesRunning(`mark=${mark}`).length).toBe(2)
  })

  testOnLinux.each(["node", "deno"])(
    "kill -9 of the program under %s leaves no server and no grandchild",
    async (runtime) => {
      const mark = `orphan-${runtime}-${process.pid}`
      const program = repositoryFile("test/fixtures/node-runner.ts")
      const args = [program, fixture("plain"), mark]
      const parent =
        runtime === "node"
          ? spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
          : spawn(repositoryFile("node_modules/.bin/deno"), ["run", "-A", ...args], {
              stdio: ["ignore", "pipe", "inherit"],
            })
      await new Promise<void>((resolve) => parent.stdout?.once("data", () => resolve()))
      expect(processesRunning(`mark=${mark}`).length).toBeGreaterThanOrEqual(1)
      expect(processesRunning(`${mark}-grandchild`)).toHaveLength(1)
      parent.kill("SIGKILL")
      const left = () => processesRunning(`mark=${mark}`).length + processesRunning(`${mark}-grandchild`).length
      await eventually(() => left() === 0, 5_000, "all are gone")
    },
  )

  test("on Windows it says that it cannot work there", () => {
    const platform = "win32"
    const options = { cluster, namespace, clock: systemClock, telemetry, hide: withoutSecrets, platform } as const
    expect(() => createProcessNode({ ...options, baseEnvironment: {}, workingDirectory: folder })).toThrow(
      expect.objectContaining({ code: "PlatformUnsupported" }),
    )
  })
})
