import { describe, expect, test } from "vitest"
import { masked } from "../../../src/credentials/mask.ts"
import { createNeedleShare, type NeedleShare } from "../../../src/credentials/needle-share.ts"
import { logTail, toInstanceFailed } from "../../../src/placement/explain-failure.ts"
import type { ClusterPort, LogQuery } from "../../../src/ports/cluster.ts"
import { anNpmPackage } from "../../support/build/package.ts"
import { instance } from "../../support/build/placed.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

describe("the end of a log", () => {
  test("is at most 20 lines, the last ones, without empty ones", () => {
    const text = Array.from({ length: 50 }, (_, index) => `line ${index}\n\n`).join("")
    expect(logTail(text)).toEqual(Array.from({ length: 20 }, (_, index) => `line ${index + 30}`))
  })

  test("is at most 4 KiB, and an endless line is cut, not left out", () => {
    const lines = logTail(`${"a".repeat(9_000)}\n${"ü".repeat(9_000)}`)
    expect(lines.length).toBeGreaterThan(0)
    expect(Buffer.byteLength(lines.join("\n"))).toBeLessThanOrEqual(4096)
  })
})

const failure = { reason: "CrashLoop", message: "exited with 3", exitCode: 3 }
const failing = instance({ status: { podName: "p", secretName: "s", phase: "Failed" } })

const setUp = (
  logs: (query: LogQuery) => Promise<string>,
  values: Record<string, string> | null = { TOKEN: "canary" },
) => {
  const clock = fakeClock()
  const data = Object.fromEntries(Object.entries(values ?? {}).map(([k, v]) => [k, Buffer.from(v).toString("base64")]))
  const cluster: Pick<ClusterPort, "get" | "podLogs"> = {
    get: async <T>() => (values === null ? undefined : { data }) as T | undefined,
    podLogs: (_ref, query) => logs(query),
  }
  const share = createNeedleShare()
  const owners: string[] = []
  const take: NeedleShare["take"] = (owner, secrets, signal) => {
    owners.push(owner)
    return share.take(owner, secrets, signal)
  }
  const deps = { cluster: cluster as ClusterPort, clock, log: quietTelemetry().log, needles: { ...share, take } }
  const tell = (withLog: boolean, of = failing) =>
    toInstanceFailed(deps, of, failure, { withLog, signal: new AbortController().signal })
  return { clock, tell, owners }
}

describe("the error of an instance that cannot run", () => {
  test("names reason, exit code and instance, and for the caller's own one the last log lines, masked", async () => {
    const { tell } = setUp(async () => "starting with canary\nbye\n")
    const error = await tell(true)
    expect(error).toMatchObject({
      code: "InstanceFailed",
      data: {
        reason: "CrashLoop",
        message: "exited with 3",
        exit_code: 3,
        instance: failing.metadata.name,
        log: [`starting with ${masked}`, "bye"],
      },
    })
  })

  test("takes what masks its log from the share of its user, not from one of its own", async () => {
    const { tell, owners } = setUp(async () => "bye\n")
    await tell(true)
    expect(owners).toEqual([failing.spec.subjectKey])
  })

  test("masks the log before it cuts it, so that no half of a secret shows", async () => {
    const secret = `canary-${"x".repeat(5_000)}-canary`
    const { tell } = setUp(async () => `token ${secret}`, { TOKEN: secret })
    expect((await tell(true)).data).toMatchObject({ log: [`token ${masked}`] })
  })

  test("leaves out the last line of a log that was read up to its limit: it may hold half a secret", async () => {
    const { tell } = setUp(async () => `${"ok\n".repeat(25_000)}token cana`)
    expect(JSON.stringify((await tell(true)).data)).not.toContain("cana")
  })

  test("shows no log of an instance that others share", async () => {
    const { tell } = setUp(async () => "hello")
    expect((await tell(false)).data).not.toHaveProperty("log")
  })

  test("takes the log of the container before if the new one has said nothing yet", async () => {
    const { tell } = setUp(async ({ previous }) => (previous === true ? "last words" : ""))
    expect((await tell(true)).data).toMatchObject({ log: ["last words"] })
  })

  const ofPackage = { ...failing, spec: { ...failing.spec, package: anNpmPackage } }

  test.each<[string, (query: LogQuery) => string]>([
    ["the installer's", ({ container }) => (container === "reflow-package" ? "npm error" : "")],
    [
      "that of the installer's run before, if the new one has said nothing yet",
      ({ container, previous }) => (container === "reflow-package" && previous === true ? "npm error" : ""),
    ],
  ])("takes, where a package's server has not run, %s", async (_, log) => {
    const { tell } = setUp(async (query) => log(query))
    expect((await tell(true, ofPackage)).data).toMatchObject({ log: ["npm error"] })
  })

  test("takes the server's own log where it has one, and asks for an installer's only of a package", async () => {
    const { tell } = setUp(async ({ container }) => (container === undefined ? "server" : "installer"))
    expect((await tell(true, ofPackage)).data).toMatchObject({ log: ["server"] })
    const silent = setUp(async ({ container }) => (container === undefined ? "" : "installer"))
    expect((await silent.tell(true)).data).not.toHaveProperty("log")
  })

  test("shows no log if the secrets that it may hold are not known", async () => {
    const { tell } = setUp(async () => "canary", null)
    expect((await tell(true)).data).not.toHaveProperty("log")
  })

  test("does not wait for a log that does not come", async () => {
    const { clock, tell } = setUp(() => new Promise(() => {}))
    const told = tell(true)
    await clock.advance(2_000)
    expect((await told).data).not.toHaveProperty("log")
    expect(clock.pending).toBe(0)
  })
})
