import { describe, expect, it } from "vitest"
import { type Event, eventKind } from "../../../src/api/kinds/kubernetes.ts"
import { findingOf } from "../../../src/operator/reconcile.ts"
import { anInstance } from "../../support/build/instance.ts"
import { stampAfter } from "../../support/build/metadata.ts"

const { spec } = anInstance({ spec: { healthPath: "/health" } })
const said = (message: string, seconds = 0, reason = "Unhealthy"): Event => ({
  apiVersion: eventKind.apiVersion,
  kind: eventKind.kind,
  metadata: { name: `event-${seconds}`, namespace: "reflow" },
  involvedObject: {},
  reason,
  message,
  lastTimestamp: stampAfter(seconds),
})
const notFound = "Startup probe failed: HTTP probe failed with statuscode: 404"
const refused =
  'Startup probe failed: Get "http://10.1.0.7:8080/health": dial tcp 10.1.0.7:8080: connect: connection refused'

describe("what the kubelet says of a startup probe means", () => {
  it.each([
    [notFound, "HealthPathNotFound", "/health"],
    [refused, "PortClosed", "8080"],
    ["Startup probe failed: dial tcp 10.1.0.7:8080: i/o timeout", "PortClosed", "8080"],
  ])("%s: %s", (words, reason, named) => {
    const finding = findingOf([said(words)], spec)
    expect(finding).toMatchObject({ reason, message: expect.stringContaining(named) })
  })

  it.each([
    [
      "another status code, which the server may mend itself",
      "Startup probe failed: HTTP probe failed with statuscode: 503",
    ],
    ["another probe", "Readiness probe failed: HTTP probe failed with statuscode: 404"],
  ])("nothing, if it is %s", (_, words) => {
    expect(findingOf([said(words)], spec)).toBeUndefined()
  })

  it("nothing, if it has another reason, or nothing is said at all", () => {
    expect(findingOf([said(notFound, 0, "Killing")], spec)).toBeUndefined()
    expect(findingOf([], spec)).toBeUndefined()
  })

  it("what was said last, in whatever order the API server lists it", () => {
    const events = [said(refused, 1), said(notFound, 9), said(refused, 5)]
    for (const order of [events, events.toReversed()]) expect(findingOf(order, spec)?.reason).toBe("HealthPathNotFound")
    // an Event without a time is an old one
    const { lastTimestamp: _, ...timeless } = said(refused)
    expect(findingOf([said(notFound), timeless], spec)?.reason).toBe("HealthPathNotFound")
    expect(findingOf([timeless, said(notFound)], spec)?.reason).toBe("HealthPathNotFound")
  })
})
