import { describe, expect, it } from "vitest"
import type { MCPInstance } from "../../../src/api/kinds/mcp-instance.ts"
import type { PodStatus } from "../../../src/api/kinds/pod.ts"
import { judge, signOf } from "../../../src/operator/server-state.ts"
import type { ProbeFinding } from "../../../src/operator/snapshot.ts"
import { anInstance } from "../../support/build/instance.ts"
import { birth, msAfter, stampAfter } from "../../support/build/metadata.ts"
import { aPod, crashedStatus, podStatus, readyStatus, startingStatus, waitingStatus } from "../../support/build/pod.ts"

type Case = {
  readonly seconds?: number
  readonly signAt?: number
  readonly failure?: string
  readonly probe?: ProbeFinding
}

const judged = (status: PodStatus, { seconds = 0, signAt = 0, failure, probe }: Case = {}, of = anInstance()) => {
  return judge({
    pod: aPod({ of, status }),
    spec: of.spec,
    image: of.spec.image ?? "",
    failure: failure === undefined ? undefined : { reason: failure, message: "before" },
    sight: { seenAt: msAfter(0), signAt: msAfter(signAt), probe },
    startTimeoutMs: 600_000,
    now: msAfter(seconds),
  })
}

describe("what no waiting cures fails at the first sight", () => {
  const cases: readonly [string, PodStatus, string, RegExp][] = [
    ["a bad image name", waitingStatus("InvalidImageName"), "InvalidImageName", /ghcr.io\/org\/files:1.*correct/],
    [
      "an image that is not there and may not be pulled",
      waitingStatus("ErrImageNeverPull"),
      "ErrImageNeverPull",
      /Never/,
    ],
    [
      "a missing Secret",
      waitingStatus("CreateContainerConfigError", 'secret "files-abcde" not found'),
      "CreateContainerConfigError",
      /secret "files-abcde" not found\. Create that Secret, or correct secretName; the server then starts by itself/,
    ],
    [
      "an image that runs as root",
      waitingStatus("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
      "ImageUserNotAllowed",
      /runAsUser/,
    ],
    [
      "a command that is not there",
      waitingStatus("RunContainerError", "exec: no such file"),
      "RunContainerError",
      /command/,
    ],
    [
      "a command that is not there, as containerd says it",
      podStatus({ state: { terminated: { exitCode: 128, reason: "StartError", message: "exec: no such file" } } }),
      "RunContainerError",
      /exec: no such file/,
    ],
  ]
  it.each(cases)("%s", (_, status, reason, message) => {
    expect(judged(status)).toMatchObject({ ready: false, reason, failed: {}, message: expect.stringMatching(message) })
  })
})

describe("what a busy node gets over by itself is told, and is no failure before the start's own limit", () => {
  const cases: readonly [string, PodStatus][] = [
    [
      "a Secret that the kubelet has not fetched yet",
      waitingStatus("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition"),
    ],
    ["a container runtime that is late", waitingStatus("CreateContainerError", "context deadline exceeded")],
  ]
  it.each(cases)("%s", (_, status) => {
    const early = judged(status)
    expect(early).toMatchObject({ ready: false, reason: "ContainerCreating", until: msAfter(600) })
    expect(early.message).toContain(status.containerStatuses?.[0]?.state?.waiting?.message ?? "no words")
    expect(judged(status, { seconds: 599 }).failed).toBeUndefined()
    expect(judged(status, { seconds: 600 })).toMatchObject({ reason: "StartTimeout", failed: {} })
  })
})

describe("what may pass is said at once and fails after its grace", () => {
  it("a failed pull is said at once, counts after ten seconds, and names the image", () => {
    const pull = waitingStatus("ErrImagePull", "manifest unknown")
    expect(judged(pull)).toMatchObject({ reason: "ErrImagePull", until: msAfter(10) })
    expect(judged(pull).failed).toBeUndefined()
    expect(judged(pull, { seconds: 9.9 }).failed).toBeUndefined()
    const late = judged(pull, { seconds: 10 })
    expect(late).toMatchObject({ reason: "ErrImagePull", failed: {} })
    expect(late.message).toMatch(/ghcr.io\/org\/files:1.*manifest unknown/)
  })

  it("the kubelet's other words for a failed pull change nothing, so that nothing is written", () => {
    expect(judged(waitingStatus("ImagePullBackOff", "Back-off"), { failure: "ErrImagePull" }).message).toBe("before")
  })

  it("a first crash counts when the server stays down for two seconds", () => {
    expect(judged(crashedStatus(3)).failed).toBeUndefined()
    expect(judged(crashedStatus(3), { seconds: 2 })).toMatchObject({ reason: "CrashLoop", failed: { exitCode: 3 } })
  })

  it("a crash counts at once when the kubelet backs off", () => {
    const lastState = { terminated: { exitCode: 1 } }
    const status = waitingStatus("CrashLoopBackOff", "back-off 10s", { restartCount: 1, lastState })
    expect(judged(status)).toMatchObject({ reason: "CrashLoop", failed: { exitCode: 1 } })
  })

  it("a server that runs again after a crash has ten seconds to answer", () => {
    const again = podStatus({
      restartCount: 1,
      started: false,
      state: { running: { startedAt: birth } },
      lastState: { terminated: { exitCode: 1 } },
    })
    expect(judged(again, { seconds: 9 }).failed).toBeUndefined()
    expect(judged(again, { seconds: 10 }).failed).toEqual({ exitCode: 1 })
  })

  it("a crash that counted stays one while the state flaps", () => {
    const again = podStatus({
      restartCount: 2,
      state: { running: { startedAt: birth } },
      lastState: { terminated: { exitCode: 1 } },
    })
    expect(judged(again, { failure: "CrashLoop" }).failed).toEqual({ exitCode: 1 })
  })

  it("a server that used too much memory is told so, with its limit", () => {
    expect(judged(crashedStatus(137, "OOMKilled"), { seconds: 2 })).toMatchObject({
      reason: "OOMKilled",
      message: expect.stringContaining("512Mi"),
    })
  })

  it("a server that ends with code 0 is told that it must keep running", () => {
    expect(judged(crashedStatus(0, "Completed"), { seconds: 2 }).message).toMatch(/must keep running/)
  })

  it("an old crash of a server that answers again is no crash", () => {
    const lastState = { terminated: { exitCode: 1 } }
    const running = { startedAt: stampAfter(10) }
    const status = podStatus({ started: true, restartCount: 4, state: { running }, lastState })
    expect(judged(status, { seconds: 20 })).toMatchObject({ reason: "Starting", until: msAfter(40) })
    expect(judged(status, { seconds: 60 })).toMatchObject({ reason: "NotReady" })
    expect(signOf(aPod({ status }))).toBeUndefined()
  })

  it("messages never carry the server's last words: they may hold secrets", () => {
    const terminated = { exitCode: 1, reason: "Error", message: "token=canary" }
    const standing = judged(podStatus({ state: { terminated } }), { seconds: 5 })
    expect(JSON.stringify(standing)).not.toContain("canary")
  })

  it("nor what it wrote into its termination log, however the kubelet ends it", () => {
    for (const reason of ["Error", "Completed", "OOMKilled", "ContainerStatusUnknown", "Evicted"])
      for (const exitCode of [0, 1, 137])
        for (const waiting of [undefined, "CrashLoopBackOff", "ContainerCreating", "RunContainerError"]) {
          const terminated = { exitCode, reason, message: "token=canary" }
          const state = waiting === undefined ? { terminated } : { waiting: { reason: waiting, message: "back-off" } }
          for (const seconds of [0, 5, 60, 600])
            for (const started of [true, false]) {
              const status = podStatus({ state, lastState: { terminated }, started })
              expect(JSON.stringify(judged(status, { seconds }))).not.toContain("canary")
            }
        }
  })
})

describe("the runtime's words quote a command line in which $(NAME) may have become a secret", () => {
  const words = 'exec: "--token=canary": executable file not found in $PATH: context'
  const reasons = ["RunContainerError", "CreateContainerError", "CreateContainerConfigError"]
  const told = (spec: Partial<MCPInstance["spec"]>, said = words, seconds = 0) =>
    [
      podStatus({ state: { terminated: { exitCode: 128, reason: "StartError", message: said } } }),
      ...reasons.map((reason) => waitingStatus(reason, said)),
    ].map((status) => judged(status, { seconds }, anInstance({ spec })))

  it.each<[string, Partial<MCPInstance["spec"]>]>([
    ["its program", { command: ["$(TOKEN)"] }],
    ["an argument", { command: ["serve"], args: ["--token=$(TOKEN)"] }],
    ["the first argument of an image without an entrypoint", { args: ["--token=$(TOKEN)"] }],
  ])("so they are not repeated where it is in %s", (_, spec) => {
    for (const said of [words, `${words} deadline exceeded`, `failed to sync secret cache ${words}`])
      for (const seconds of [0, 600])
        for (const standing of told(spec, said, seconds)) {
          expect(JSON.stringify(standing)).not.toContain("canary")
          if (said === words) expect(standing.message).toContain("see the status of its Pod")
        }
  })
  it("and are repeated where there is none, and of a Secret that is missing", () => {
    for (const standing of told({ args: ["--token"] })) expect(standing.message).toContain("executable file not found")
    const missing = judged(
      waitingStatus("CreateContainerConfigError", 'secret "files-abcde" not found'),
      {},
      anInstance({ spec: { args: ["$(TOKEN)"] } }),
    )
    expect(missing.message).toContain('secret "files-abcde" not found')
  })
})

describe("a start that takes long", () => {
  it("tells the scheduler's words and does not fail", () => {
    const conditions = [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message: "0/3 nodes" }]
    const standing = judged({ phase: "Pending", conditions }, { seconds: 30 })
    expect(standing).toMatchObject({ reason: "Unschedulable", message: expect.stringContaining("0/3 nodes") })
    expect(standing.message).toMatch(/add a node, free room, or ask for less/)
    expect(standing.failed).toBeUndefined()
  })

  it("says that the container is being set up", () => {
    expect(judged(waitingStatus("ContainerCreating"))).toMatchObject({ reason: "ContainerCreating" })
  })

  it("fails at startTimeout and says what was missing", () => {
    expect(judged(startingStatus())).toMatchObject({ reason: "Starting", until: msAfter(600) })
    expect(judged(startingStatus(), { seconds: 600 })).toMatchObject({
      reason: "StartTimeout",
      failed: {},
      message: expect.stringContaining("8080"),
    })
  })

  it("stays timed out when the kubelet then kills the container", () => {
    const killed = crashedStatus(137)
    expect(judged(killed, { seconds: 601, failure: "StartTimeout" })).toMatchObject({ reason: "StartTimeout" })
  })

  it("fails after ten seconds if the health path is not there, but not because the port is closed yet", () => {
    const missing: ProbeFinding = { reason: "HealthPathNotFound", message: "404" }
    const closed: ProbeFinding = { reason: "PortClosed", message: "closed" }
    expect(judged(startingStatus(), { seconds: 9, probe: missing }).failed).toBeUndefined()
    expect(judged(startingStatus(), { seconds: 10, probe: missing })).toMatchObject({
      reason: missing.reason,
      failed: {},
    })
    const waits = judged(startingStatus(), { seconds: 60, probe: closed })
    expect(waits).toMatchObject({ reason: "PortClosed" })
    expect(waits.failed).toBeUndefined()
    expect(judged(startingStatus(), { seconds: 600, probe: closed }).message).toContain("closed")
  })
})

describe("a Pod that will never run again is lost", () => {
  it.each([
    ["evicted", { phase: "Failed", reason: "Evicted", message: "low on memory" }, "Evicted"],
    ["failed", { phase: "Failed" }, "PodFailed"],
    ["preempted", { phase: "Failed", reason: "Preempting", message: "for another" }, "PodFailed"],
    ["ended", { phase: "Succeeded" }, "PodFailed"],
    ["on a lost node", { phase: "Unknown" }, "NodeLost"],
    ["on a lost node, as older clusters say", { phase: "Running", reason: "NodeLost" }, "NodeLost"],
  ] as const)("%s", (_, status, reason) => {
    expect(judged(status)).toMatchObject({ lost: true, reason })
  })
})

it("a reason that no table has is told in words, not as a reason", () => {
  const standing = judged({ phase: "Failed", reason: "OutOfcpu", message: "no cpu is left" })
  expect(standing).toMatchObject({ reason: "PodFailed", message: expect.stringContaining("OutOfcpu: no cpu is left") })
})

it("a ready Pod is ready, whatever happened before", () => {
  const status = readyStatus({ restartCount: 3, lastState: { terminated: { exitCode: 1 } } })
  expect(judged(status, { seconds: 9999, failure: "CrashLoop" })).toMatchObject({ ready: true, reason: "Ready" })
})

describe("what is no fault of the server is not blamed on it", () => {
  const running = { state: { running: { startedAt: birth } }, restartCount: 0, ready: false }
  const beside = (more: object, conditions: readonly object[] = []): PodStatus => {
    const status = readyStatus()
    const notReady = { type: "Ready", status: "False" }
    return { ...status, conditions: [notReady, ...conditions], ...more } as PodStatus
  }
  const server = { name: "mcp", ready: true, started: true, restartCount: 0, state: { running: { startedAt: birth } } }
  const waiting = (reason: string, message: string) => ({
    ready: false,
    restartCount: 0,
    state: { waiting: { reason, message } },
  })
  const cases: readonly [string, PodStatus, string, RegExp][] = [
    [
      "a sidecar whose image does not exist",
      beside({ containerStatuses: [server, { name: "proxy", ...waiting("ImagePullBackOff", "no such image") }] }),
      "ContainerNotReady",
      /'proxy'.*ImagePullBackOff: no such image/,
    ],
    [
      "a sidecar that runs and is never ready",
      beside({ containerStatuses: [server, { name: "proxy", ...running }] }),
      "ContainerNotReady",
      /'proxy'.*not ready/,
    ],
    [
      "a sidecar of the init containers",
      beside({ containerStatuses: [server], initContainerStatuses: [{ name: "mesh", ...running }] }),
      "ContainerNotReady",
      /'mesh'/,
    ],
    [
      "a readiness gate",
      beside({ containerStatuses: [server] }, [
        { type: "lb.example/ready", status: "False", message: "no target yet" },
      ]),
      "ReadinessGate",
      /'lb.example\/ready'.*no target yet/,
    ],
    [
      "a node that is lost",
      beside({ containerStatuses: [server] }, [
        { type: "lb.example/ready", status: "True" },
        { type: "ContainersReady", status: "True" },
      ]),
      "NodeNotReady",
      /node-7/,
    ],
    [
      "a server that is not ready",
      beside({ containerStatuses: [{ ...server, ready: false }] }, [{ type: "lb.example/ready", status: "True" }]),
      "NotReady",
      /readiness probe/,
    ],
    [
      "an init container that fails",
      {
        ...waitingStatus("PodInitializing"),
        initContainerStatuses: [{ name: "setup", ...waiting("CrashLoopBackOff", "back-off 10s") }],
      },
      "InitContainerNotReady",
      /'setup'.*CrashLoopBackOff: back-off 10s/,
    ],
    [
      "an init container that ended with a fault",
      {
        ...waitingStatus("PodInitializing"),
        initContainerStatuses: [
          { name: "setup", ready: false, restartCount: 0, state: { terminated: { exitCode: 3 } } },
        ],
      },
      "InitContainerNotReady",
      /exit code 3/,
    ],
    [
      "an init container whose words may quote a secret",
      {
        ...waitingStatus("PodInitializing"),
        initContainerStatuses: [{ name: "setup", ...waiting("RunContainerError", "canary") }],
      },
      "InitContainerNotReady",
      /RunContainerError\.(?!.*canary)/,
    ],
  ]
  it.each(cases)("%s", (_name, status, reason, message) => {
    const of = anInstance()
    const pod = aPod({ of, status })
    const standing = judge({
      pod: {
        ...pod,
        spec: { ...pod.spec, nodeName: "node-7", readinessGates: [{ conditionType: "lb.example/ready" }] },
      },
      spec: of.spec,
      image: of.spec.image ?? "",
      failure: undefined,
      sight: { seenAt: msAfter(0), signAt: undefined, probe: undefined },
      startTimeoutMs: 600_000,
      now: msAfter(60),
    })
    expect(standing).toMatchObject({ ready: false, reason })
    expect(standing.message).toMatch(message)
    expect(standing.failed).toBeUndefined()
  })
  it("a container that crashes again and again is one trouble, whether it waits, runs or has just ended", () => {
    const ended = { terminated: { exitCode: 3 } }
    const life = (state: object, lastState: object = ended) => ({ ready: false, restartCount: 4, state, lastState })
    const lives = [
      life({ waiting: { reason: "CrashLoopBackOff", message: "back-off 40s" } }),
      life({ running: { startedAt: stampAfter(59) } }),
      life(ended, {}),
    ]
    const told = lives.map((each) => [
      judged(
        { ...waitingStatus("PodInitializing"), initContainerStatuses: [{ name: "setup", ...each }] },
        { seconds: 60 },
      ),
      judged(beside({ containerStatuses: [server, { name: "proxy", ...each }] }), { seconds: 60 }),
    ])
    expect(told.flat().every(({ message }) => message.includes("exit code 3"))).toBe(true)
    expect(new Set(told.map(([init]) => init?.message)).size).toBe(1)
    expect(new Set(told.map(([, proxy]) => proxy?.message)).size).toBe(1)
  })
  it("a server that does not answer either is not said to", () => {
    const proxy = { name: "proxy", ...running }
    const { message } = judged(beside({ containerStatuses: [{ ...server, ready: false }, proxy] }), { seconds: 60 })
    expect(message).toBe("The container 'proxy' is not ready: it runs, and is not done or not ready.")
  })
  it("a container that was started anew a moment ago is not called the server's fault", () => {
    const proxy = { name: "proxy", ready: false, restartCount: 1, state: { running: { startedAt: stampAfter(59) } } }
    expect(judged(beside({ containerStatuses: [server, proxy] }), { seconds: 60 })).toMatchObject({
      reason: "ContainerNotReady",
      message: expect.stringContaining("'proxy'"),
    })
  })
  it("a sidecar that is not ready holds no server up that is still pulled, or starts", () => {
    const mesh = { name: "mesh", started: true, ...running }
    const of = anInstance()
    const by = (status: PodStatus, restartPolicy?: string) => {
      const pod = aPod({ of, status: { ...status, initContainerStatuses: [mesh] } })
      const kept = restartPolicy === undefined ? {} : { restartPolicy }
      return judge({
        pod: { ...pod, spec: { ...pod.spec, initContainers: [{ name: "mesh", ...kept }] } },
        spec: of.spec,
        image: of.spec.image ?? "",
        failure: undefined,
        sight: { seenAt: msAfter(0), signAt: undefined, probe: undefined },
        startTimeoutMs: 600_000,
        now: msAfter(60),
      })
    }
    expect(by(waitingStatus("PodInitializing"), "Always").reason).toBe("ContainerCreating")
    expect(by(waitingStatus("PodInitializing")).reason).toBe("InitContainerNotReady")
    expect(by(startingStatus(), "Always").reason).toBe("Starting")
    expect(by(startingStatus()).reason).toBe("Starting")
  })
  it("an init container that works is no trouble", () => {
    const status = { ...waitingStatus("PodInitializing"), initContainerStatuses: [{ name: "setup", ...running }] }
    expect(judged(status, { seconds: 5 }), "it is looked at again in time").toMatchObject({
      reason: "ContainerCreating",
      until: msAfter(10),
    })
    expect(judged(status, { seconds: 10 })).toMatchObject({ reason: "InitContainerNotReady", until: msAfter(600) })
  })
})
