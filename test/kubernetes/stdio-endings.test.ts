/** What becomes of sessions, and of processes, when something of a stdio server's Pod is killed. */
import { beforeAll, describe, expect, test } from "vitest"
import { legacyCall, openSession } from "../support/legacy.ts"
import { answerOf } from "../support/modern.ts"
import { cluster, waitFor } from "./support/cluster.ts"
import { ensureImages } from "./support/images.ts"
import { innerPid, processesOf, processesWith } from "./support/pod-processes.ts"
import { bridge, instancesOf, makeTarget, type Place, secretOf, startPlace } from "./support/stdio-place.ts"

let place: Place

beforeAll(async () => {
  await ensureImages(["gateway", "stdio"], cluster)
  place = await startPlace("stdio-ends", bridge)
  await makeTarget(place, "kept", "onNode", { statefulness: "stateful" })
  await makeTarget(place, "free", "onNode", { statefulness: "stateless" })
}, 400_000)

/** The UID of the Pod that serves alice. */
const podUID = (target: string): string => {
  const name = instancesOf(place, target)[0]?.status?.podName ?? ""
  return place.pods.get(name)?.metadata.uid ?? ""
}

/** Resolves when the look is true; a process ends without telling the API server. */
const eventually = async (look: () => boolean, what: string): Promise<void> => {
  for (const end = Date.now() + 30_000; !look(); await new Promise((later) => setTimeout(later, 100)))
    if (Date.now() > end) throw new Error(`not within 30 s: ${what}`)
}

const open = (target: string) => openSession(`${place.url}/mcp/${target}`, secretOf.alice)

type Session = Awaited<ReturnType<typeof open>>

const call = async (session: Session, tool: string) => {
  const response = await session.post(legacyCall(tool))
  return { status: response.status, answer: await answerOf(response).catch(() => undefined) }
}

const textOf = async (session: Session, tool: string): Promise<string> =>
  (await call(session, tool)).answer.result.content[0].text

/** Ends processes of the Pod by SIGKILL, which none of them can notice. */
const killAll = (pids: readonly number[]): void => {
  for (const pid of pids) process.kill(pid, "SIGKILL")
}

/** The first call that is not answered with the death itself, which may be noticed only by that call. */
const afterDeath = async (session: Session) => {
  for (let tries = 0; ; tries++) {
    const after = await call(session, "count")
    if (after.answer?.error?.code !== -32603 || tries === 10) return after
  }
}

// the processes of the cluster that is built from source are those of this machine
describe.skipIf(cluster.origin !== "built")("a SIGKILL", () => {
  test("of a child ends its session alone: stateful 404, stateless opened again; the other session goes on", async () => {
    for (const target of ["kept", "free"] as const) {
      const [hit, spared] = [await open(target), await open(target)]
      const pid = Number(/pid (\d+)/.exec(await textOf(hit, "whoami"))?.[1])
      expect(await textOf(spared, "count")).toBe("1")
      // the server tells its number in its Pod, the kernel that of the machine
      const [child] = processesWith(podUID(target), "stdio.mjs").filter((each) => innerPid(each.pid) === pid)
      expect(child?.command).not.toContain("bridge.mjs")
      killAll(child === undefined ? [] : [child.pid])
      const after = await afterDeath(hit)
      if (target === "kept") expect(after.status).toBe(404)
      else expect(after.answer.result.content[0].text).toBe("1")
      expect(await textOf(spared, "count")).toBe("2")
    }
  }, 120_000)

  test("of the bridge restarts the container, and leaves no process of it", async () => {
    for (const target of ["kept", "free"] as const) {
      const session = await open(target)
      expect(await textOf(session, "count")).toBe("1")
      const uid = podUID(target)
      const old = processesOf(uid)
      killAll(old.filter(({ command }) => command.includes("bridge.mjs")).map(({ pid }) => pid))
      const restarted = () =>
        instancesOf(place, target).find(({ status }) => (status?.restarts ?? 0) > 0 && status?.phase === "Ready")
      await waitFor(place.seen, restarted, 60_000, "the container was restarted")
      const alive = new Set(processesOf(uid).map(({ pid }) => pid))
      const left = old.filter(({ pid, command }) => alive.has(pid) && !command.includes("pause"))
      expect(left).toEqual([])
      const after = await call(session, "count")
      if (target === "kept") expect(after.status).toBe(404)
      else expect(after.answer.result.content[0].text).toBe("1")
    }
  }, 180_000)

  test("a process that the server left behind is reaped when it ends", async () => {
    const session = await open("kept")
    expect(await textOf(session, "fork")).toMatch(/^pid \d+$/)
    const uid = podUID("kept")
    await call(session, "fall")
    await eventually(() => processesWith(uid, "setTimeout").length === 0, "the process has ended")
    expect(processesOf(uid).filter(({ state }) => state === "Z")).toEqual([])
  }, 60_000)
})
