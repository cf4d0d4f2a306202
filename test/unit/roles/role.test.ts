import { expect, test } from "vitest"
import { createStarted } from "../../../src/roles/role.ts"

const collect = () => {
  const told: string[] = []
  const started = createStarted((name) => void told.push(`${name} failed`))
  const add = (name: string, work: () => Promise<void> | void = () => {}) =>
    started.add(name, async () => {
      told.push(name)
      await work()
    })
  return { told, started, add }
}

test("what was started is closed once, the last first", async () => {
  const { told, started, add } = collect()
  await add("cluster")
  await add("node")
  await add("gateway")
  await Promise.all([started.close(), started.close()])
  await started.close()
  expect(told).toEqual(["gateway", "node", "cluster"])
})

test("a close that fails does not keep the others from closing", async () => {
  const { told, started, add } = collect()
  await add("cluster")
  await add("node", () => Promise.reject(new Error("no")))
  await started.close()
  expect(told).toEqual(["node", "node failed", "cluster"])
})

test("what is started while closing is closed too", async () => {
  const { told, started, add } = collect()
  await add("cluster")
  await started.close()
  await add("late")
  expect(told).toEqual(["cluster", "late"])
})
