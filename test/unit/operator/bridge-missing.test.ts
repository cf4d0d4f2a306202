import { describe, expect, test } from "vitest"
import { bridgeMissing } from "../../../src/operator/checks/bridge.ts"
import type { BridgeDelivery } from "../../../src/operator/desired/bridge-delivery.ts"
import { aStdioInstance, aStdioPod, aSupply } from "../../support/build/bridge.ts"
import { msAfter } from "../../support/build/metadata.ts"
import { aPod, startingStatus, waitingStatus } from "../../support/build/pod.ts"
import { someSettings } from "../../support/build/settings.ts"
import { aSnapshot } from "../../support/build/snapshot.ts"

const image = "bridge:1"
const notMounted = waitingStatus("CreateContainerError", 'failed to mkdir ""')

/** What is done about a Pod, made with an image volume, if the next one would get the bridge by `next`. */
const doneAbout = (next: BridgeDelivery | undefined, status = notMounted, starts?: number) => {
  const instance = { ...aStdioInstance, ...(starts === undefined ? {} : { status: { starts } }) }
  const settings = someSettings({ bridge: aSupply(next) })
  return bridgeMissing(aSnapshot({ instance, pod: aStdioPod(status), settings, now: msAfter(5) }))?.verdict
}

describe("a Pod that could not get the bridge", () => {
  test("is deleted if the next one gets it in another way, which is the next start", () => {
    const verdict = doneAbout({ kind: "Copy", image }, notMounted, 3)
    expect(verdict).toMatchObject({
      actions: [{ do: "deletePod", reason: expect.stringContaining("by Copy") }],
      starts: 4,
      standing: { ready: false, reason: "Pending" },
    })
    expect(verdict?.standing).not.toHaveProperty("failed")
  })

  test("counts as the first start if the status has none", () => {
    expect(doneAbout({ kind: "ConfigMap", name: "file" })).toMatchObject({ starts: 1 })
  })

  test("stays if the next one would get it in the same way, also from another image", () => {
    expect(doneAbout({ kind: "ImageVolume", image })).toBeUndefined()
    expect(doneAbout({ kind: "ImageVolume", image: "bridge:2" })).toBeUndefined()
  })

  test("stays if the next one would get none", () => {
    expect(doneAbout(undefined)).toBeUndefined()
  })
})

test("a Pod with other trouble stays, whatever the next one would get", () => {
  const copy: BridgeDelivery = { kind: "Copy", image }
  for (const status of [startingStatus(), waitingStatus("CreateContainerError", "no space left")])
    expect(doneAbout(copy, status)).toBeUndefined()
  const settings = someSettings({ bridge: aSupply(copy) })
  const pod = aPod({ status: notMounted })
  expect(bridgeMissing(aSnapshot({ pod, settings, now: msAfter(5) }))).toBeUndefined()
  expect(bridgeMissing(aSnapshot({ instance: aStdioInstance, settings }))).toBeUndefined()
})
