import { describe, expect, test } from "vitest"
import type { MCPInstanceStatus } from "../../../src/api/kinds/mcp-instance.ts"
import {
  currentFailure,
  type Decision,
  decidePlacement,
  type Snapshot,
  type Wanted,
} from "../../../src/placement/decide.ts"
import { condition, instance, readyStatus } from "../../support/build/placed.ts"

const wanted: Wanted = {
  mode: "create",
  targetUID: "target-uid",
  subjectKey: "user:alice",
  scopes: "github-env-default",
  continues: false,
}
const decide = (snapshot: Partial<Snapshot>, more: Partial<Wanted> = {}): Decision =>
  decidePlacement({ instance: undefined, trusted: true, reachable: true, ...snapshot }, { ...wanted, ...more })

const draining = (reason: string) =>
  instance({ status: readyStatus({ conditions: [condition("Ready", "True"), condition("Draining", "True", reason)] }) })

const failedStatus = (more: Partial<MCPInstanceStatus> = {}): MCPInstanceStatus => ({
  phase: "Failed",
  conditions: [condition("Admitted", "True"), condition("Ready", "False", "CrashLoop", "exited with 3")],
  failure: { reason: "CrashLoop", message: "exited with 3", exitCode: 3, time: "2030-01-01T00:00:10Z" },
  startTime: "2030-01-01T00:00:05Z",
  ...more,
})

describe("where a request belongs", () => {
  test("a Ready instance that answers is warm", () => {
    expect(decide({ instance: instance({ status: readyStatus() }) })).toEqual({ verdict: "warm" })
  })

  test("without an instance one is made, or the session is gone", () => {
    expect(decide({})).toEqual({ verdict: "create" })
    expect(decide({}, { mode: "find" })).toEqual({ verdict: "gone" })
  })

  test.each([
    ["another subject key", instance({ spec: { subjectKey: "user:bob" }, status: readyStatus() })],
    ["another target", instance({ spec: { targetUID: "other" }, status: readyStatus() })],
    ["no target's UID", instance({ spec: { targetUID: undefined } as never, status: readyStatus() })],
  ])("an instance of %s is a conflict, however ready it is", (_what, stranger) => {
    expect(decide({ instance: stranger })).toEqual({ verdict: "conflict" })
  })

  test("a cache that was silent too long is asked again before anything is sent or probed", () => {
    const ready = instance({ status: readyStatus() })
    expect(decide({ instance: ready, trusted: false })).toMatchObject({ verdict: "hold", act: "confirm" })
    expect(decide({ instance: ready, trusted: false, reachable: false })).toMatchObject({ act: "confirm" })
  })

  test("an instance that is being deleted holds newcomers and is not kept alive by them", () => {
    const ending = instance({ metadata: { deletionTimestamp: "2030-01-01T00:00:00Z" }, status: readyStatus() })
    expect(decide({ instance: ending })).toMatchObject({ verdict: "hold", reason: "Terminating", counts: false })
    expect(decide({ instance: ending }, { mode: "find" })).toMatchObject({ verdict: "hold" })
  })

  test.each(["Idle", "Evicted"])("a drain for %s holds newcomers, who cancel it by their use, at once", (reason) => {
    expect(decide({ instance: draining(reason) })).toMatchObject({ verdict: "hold", counts: true, urgent: true })
  })

  test.each(["MaxLifetime", "SpecChanged", "Restarted"])(
    "a drain for %s holds newcomers, whose use would only delay it",
    (reason) => {
      expect(decide({ instance: draining(reason) })).toMatchObject({ verdict: "hold", counts: false, urgent: false })
    },
  )

  test("an answer that belongs to an open call still reaches a draining instance", () => {
    expect(decide({ instance: draining("Restarted") }, { continues: true })).toEqual({ verdict: "warm" })
  })

  test("an instance with other credentials than the identity yields now is restarted, once", () => {
    const old = instance({ scopes: "github-env-default,github-env-group-x", status: readyStatus() })
    expect(decide({ instance: old })).toMatchObject({ verdict: "hold", act: "restart", counts: false })
    const asked = {
      ...old,
      metadata: { ...old.metadata, generation: 2 },
      spec: { ...old.spec, restartTime: "2030-01-01T00:00:00Z" },
    }
    expect(decide({ instance: asked })).toMatchObject({ verdict: "hold", reason: "CredentialsChanged" })
    expect(decide({ instance: asked })).not.toHaveProperty("act")
  })

  test("a restartTime that a manifest brought along is no restart that was asked for", () => {
    const restartTime = "2030-01-01T00:00:00Z"
    const status = readyStatus({ initialRestartTime: restartTime, observedGeneration: 2 })
    const parts = { metadata: { generation: 3 }, spec: { restartTime } }
    expect(decide({ instance: instance({ ...parts, status }) })).toEqual({ verdict: "warm" })
    const old = instance({ ...parts, status, scopes: "github-env-default,github-env-group-x" })
    expect(decide({ instance: old })).toMatchObject({ act: "restart" })
  })

  test("an instance with the same credentials, or one made by hand that records none, is used", () => {
    expect(decide({ instance: instance({ scopes: wanted.scopes, status: readyStatus() }) })).toEqual({
      verdict: "warm",
    })
    expect(decide({ instance: instance({ status: readyStatus() }) })).toEqual({ verdict: "warm" })
  })

  test("a restart that the operator has not seen yet holds newcomers", () => {
    const parts = { metadata: { generation: 2 }, spec: { restartTime: "2030-01-01T00:00:00Z" } }
    expect(decide({ instance: instance({ ...parts, status: readyStatus({ observedGeneration: 1 }) }) })).toMatchObject({
      verdict: "hold",
      reason: "Restarting",
    })
  })

  test("a queued instance holds, a full queue refuses at once", () => {
    const status = (reason: string): MCPInstanceStatus => ({
      phase: "Queued",
      conditions: [condition("Admitted", "False", reason, "20 of 20 instances are in use")],
    })
    expect(decide({ instance: instance({ status: status("Queued") }) })).toMatchObject({
      verdict: "hold",
      queued: true,
      counts: true,
    })
    expect(decide({ instance: instance({ status: status("QueueFull") }) })).toEqual({
      verdict: "full",
      message: "20 of 20 instances are in use",
    })
  })

  test("an invalid instance is told at once", () => {
    const status: MCPInstanceStatus = {
      phase: "Failed",
      conditions: [condition("Admitted", "False", "InvalidSpec", "no image")],
    }
    expect(decide({ instance: instance({ status }) })).toEqual({
      verdict: "failed",
      failure: { reason: "InvalidSpec", message: "no image" },
    })
  })

  test("a starting instance holds with the operator's words", () => {
    const status: MCPInstanceStatus = {
      phase: "Pending",
      conditions: [condition("Ready", "False", "Unschedulable", "0/3 nodes are available")],
    }
    expect(decide({ instance: instance({ status }) })).toMatchObject({
      verdict: "hold",
      reason: "Unschedulable",
      message: "0/3 nodes are available",
      counts: true,
    })
  })

  test("as soon as there is an address it is probed, before the kubelet says ready", () => {
    const status: MCPInstanceStatus = {
      phase: "Starting",
      podURL: "http://10.1.0.1:8080/mcp",
      incarnation: "pod-uid.0",
    }
    expect(decide({ instance: instance({ status }), reachable: false })).toMatchObject({
      verdict: "hold",
      act: "probe",
    })
    expect(decide({ instance: instance({ status }), reachable: true })).toEqual({ verdict: "warm" })
  })

  test("a Ready instance whose port does not answer is kept out", () => {
    expect(decide({ instance: instance({ status: readyStatus() }), reachable: false })).toMatchObject({
      verdict: "hold",
      reason: "NotReachable",
      act: "probe",
    })
  })
})

describe("which failure counts", () => {
  test("the failure of the running start is told at once, with its exit code", () => {
    expect(decide({ instance: instance({ status: failedStatus() }) })).toEqual({
      verdict: "failed",
      failure: { reason: "CrashLoop", message: "exited with 3", exitCode: 3 },
    })
  })

  test("it is told during the backoff too, when there is no Pod", () => {
    const status = failedStatus({ backoffUntilTime: "2030-01-01T00:01:00Z" })
    expect(currentFailure(instance({ status }))?.reason).toBe("CrashLoop")
  })

  test("it does not count once the operator starts anew", () => {
    const anew = failedStatus({ phase: "Starting", conditions: [condition("Ready", "False", "ContainerCreating")] })
    expect(decide({ instance: instance({ status: anew }) })).toMatchObject({
      verdict: "hold",
      reason: "ContainerCreating",
    })
  })

  test("it does not count if the running start is later than it", () => {
    expect(currentFailure(instance({ status: failedStatus({ startTime: "2030-01-01T00:00:30Z" }) }))).toBeUndefined()
  })

  test("it does not count for a spec that the operator has not looked at yet", () => {
    const changed = instance({ metadata: { generation: 2 }, status: failedStatus({ observedGeneration: 1 }) })
    expect(currentFailure(changed)).toBeUndefined()
  })

  test("an instance that recovered has none", () => {
    const status = readyStatus({ failure: { reason: "CrashLoop", message: "exited with 3" } })
    expect(decide({ instance: instance({ status }) })).toEqual({ verdict: "warm" })
  })
})
