import { describe, expect, test } from "vitest"
import { writeReport } from "../../../src/api/install-report.ts"
import type { ContainerState, ContainerStatus, PodStatus } from "../../../src/api/kinds/pod.ts"
import { judge } from "../../../src/operator/server-state.ts"
import type { ProbeFinding } from "../../../src/operator/snapshot.ts"
import { timingsOf } from "../../../src/operator/status.ts"
import { anInstance } from "../../support/build/instance.ts"
import { msAfter, stampAfter } from "../../support/build/metadata.ts"
import { aPackageInstance } from "../../support/build/package.ts"
import { aPod, podStatus } from "../../support/build/pod.ts"

const image = "node:24-slim"
const of = aPackageInstance()

const container = (name: string, state: ContainerState, more: Partial<ContainerStatus> = {}): ContainerStatus => ({
  name,
  ready: false,
  started: false,
  restartCount: 0,
  state,
  ...more,
})

type Seen = { readonly seconds?: number; readonly signAt?: number; readonly probe?: ProbeFinding }

/** The status of a Pod whose installer is in this state, while its server waits for it. */
const whileInstalling = (state: ContainerState, more: Partial<ContainerStatus> = {}): PodStatus => ({
  phase: "Pending",
  conditions: [{ type: "PodScheduled", status: "True", lastTransitionTime: stampAfter(0) }],
  initContainerStatuses: [container("reflow-package", state, more)],
  containerStatuses: [container("mcp", { waiting: { reason: "PodInitializing" } })],
})

const judged = (status: PodStatus, { seconds = 1, signAt = 0, probe }: Seen = {}) =>
  judge({
    pod: aPod({ of, status }),
    spec: of.spec,
    image,
    failure: undefined,
    sight: { seenAt: msAfter(0), signAt: msAfter(signAt), probe },
    startTimeoutMs: 60_000,
    now: msAfter(seconds),
  })

const failed = (message: string, reason = "Error", exitCode = 1): ContainerState => ({
  terminated: { exitCode, reason, message },
})

const running = { running: { startedAt: stampAfter(1) } }

describe("while a package is installed", () => {
  test("the start waits for it, however long that takes, and says so", () => {
    expect(judged(whileInstalling(running), { seconds: 40 })).toMatchObject({
      ready: false,
      reason: "Installing",
      message: "The package npm @example/notes@1.2.3 is being installed.",
      until: msAfter(60),
    })
  })

  test("the start may not take longer than startTimeout", () => {
    const standing = judged(whileInstalling(running), { seconds: 60 })
    expect(standing).toMatchObject({ reason: "StartTimeout", failed: {} })
    expect(standing.message).toMatch(
      /60 s \(startTimeout\): The package npm @example\/notes@1\.2\.3 is being installed/,
    )
  })

  test("a runner image that cannot be pulled is told as the configuration's", () => {
    const waiting = { waiting: { reason: "ImagePullBackOff", message: "not found" } }
    const standing = judged(whileInstalling(waiting), { seconds: 11 })
    expect(standing).toMatchObject({ reason: "ErrImagePull", failed: {} })
    expect(standing.message).toMatch(/node:24-slim .* check kubernetes\.packages\.npm\.image/)
  })

  test("a bridge that is not mounted is told as such, and not as an image that is pulled", () => {
    const probe = { reason: "BridgeNotMounted", message: "The bridge cannot be mounted: x" } as const
    const waiting = whileInstalling({ waiting: { reason: "PodInitializing" } })
    expect(judged(waiting, { seconds: 30, probe })).toMatchObject(probe)
    expect(judged(waiting, { seconds: 60, probe }).message).toContain("The bridge cannot be mounted")
  })

  test("a runner image without Node is told as the configuration's", () => {
    const standing = judged(whileInstalling(failed('exec: "node": not found', "StartError", 128)))
    expect(standing).toMatchObject({ reason: "RunContainerError", failed: {} })
    expect(standing.message).toMatch(/"node": not found\. Check kubernetes\.packages\.npm\.image/)
  })
})

describe("an installation that failed", () => {
  const report = writeReport({ kind: "failed", problem: "There is no version 9.", lines: ["npm error ETARGET"] })

  test("fails the start at once, with the problem and the last lines", () => {
    expect(judged(whileInstalling(failed(report)))).toEqual({
      ready: false,
      reason: "PackageInstallFailed",
      message:
        "The package npm @example/notes@1.2.3 could not be installed. There is no version 9. Its last lines: npm error ETARGET",
      failed: { exitCode: 1 },
    })
  })

  test.each<[string, ContainerState]>([
    ["while the kubelet waits to try again", { waiting: { reason: "CrashLoopBackOff" } }],
    ["while it tries again", running],
    ["before the kubelet has said what comes next", { waiting: { reason: "PodInitializing" } }],
  ])("stays the reason %s", (_, state) => {
    expect(judged(whileInstalling(state, { lastState: failed(report) }), { seconds: 50 }).reason).toBe(
      "PackageInstallFailed",
    )
  })

  test("is told as lack of memory where it was that", () => {
    expect(judged(whileInstalling(failed("", "OOMKilled", 137))).message).toMatch(/more memory than its limit/)
  })

  test.each<[string, string]>([
    ["nothing", ""],
    ["no JSON", "npm error"],
    ["something else", '{"kind":"other"}'],
    ["far too much", `{"kind":"failed","problem":"${"x".repeat(9_000)}","lines":[]}`],
  ])("that left %s as its report is told by its exit code", (_, message) => {
    expect(judged(whileInstalling(failed(message))).message).toMatch(/exit code 1, and did not say why/)
  })

  test("is none if the node runs an installer again that had succeeded, as after its own restart", () => {
    expect(judged(whileInstalling(running, { lastState: { terminated: { exitCode: 0 } } })).reason).toBe("Installing")
  })

  test("is forgotten when the next try succeeds", () => {
    const status = podStatus(
      { started: true, state: { running: { startedAt: stampAfter(5) } } },
      {
        initContainerStatuses: [
          container("reflow-package", { terminated: { exitCode: 0 } }, { lastState: failed(report) }),
        ],
      },
    )
    expect(judged(status).reason).toBe("Starting")
  })
})

describe("a server that crashes after its package was installed", () => {
  const crashed = (skippedScripts: readonly string[]) =>
    judged(
      podStatus(
        { state: { waiting: { reason: "CrashLoopBackOff" } }, lastState: failed("") },
        {
          initContainerStatuses: [
            container("reflow-package", {
              terminated: { exitCode: 0, message: writeReport({ kind: "installed", cached: false, skippedScripts }) },
            }),
          ],
        },
      ),
    )

  test("is told of the install scripts that were not run", () => {
    expect(crashed(["sharp", "sqlite"])).toMatchObject({ reason: "CrashLoop" })
    expect(crashed(["sharp", "sqlite"]).message).toMatch(/not run \(sharp, sqlite\): .* package\.allowScripts/)
  })

  test("is told of none if there were none", () => {
    expect(crashed([]).message).not.toMatch(/script/)
  })
})

test("the installation is a step of the start, between pull and start", () => {
  const pod = aPod({
    of,
    metadata: { creationTimestamp: stampAfter(0) },
    status: podStatus(
      { ready: true, state: { running: { startedAt: stampAfter(9) } } },
      {
        initContainerStatuses: [container("reflow-package", { terminated: { exitCode: 0, startedAt: stampAfter(3) } })],
        conditions: [
          { type: "PodScheduled", status: "True", lastTransitionTime: stampAfter(1) },
          { type: "Ready", status: "True", lastTransitionTime: stampAfter(10) },
        ],
      },
    ),
  })
  const instance = anInstance({ spec: of.spec, status: { starts: 2 } })
  expect(timingsOf(instance, pod, msAfter(10))).toEqual({ schedule: 1, pull: 2, install: 6, start: 1, ready: 0 })
})
