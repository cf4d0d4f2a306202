import { expect, test } from "vitest"
import { configSchema } from "../../../src/config/schema.ts"
import { type Base, createStarted, runRole } from "../../../src/roles/role.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

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

/** A role whose start ends as the test says. */
const aRole = (start: (base: Base) => Promise<string>) =>
  runRole({ config: configSchema.parse({}), telemetry: quietTelemetry() }, start)

test("a role that cannot start says why, to those who wait for it and to those who wait for its failure", async () => {
  const error = new Error("no")
  const role = aRole(() => Promise.reject(error))
  await expect(role.ready).rejects.toBe(error)
  await expect(role.failed).rejects.toBe(error)
})

test("a role that fails later closes what it has started", async () => {
  let closed = false
  const role = aRole(async ({ started, fail }) => {
    await started.add("work", () => {
      closed = true
    })
    setImmediate(() => fail(new Error("lost")))
    return "works"
  })
  expect(await role.ready).toBe("works")
  await expect(role.failed).rejects.toThrow("lost")
  await role.close()
  expect(closed).toBe(true)
})

test("closing a role ends its start, and what that starts meanwhile", async () => {
  const closed: string[] = []
  const role = aRole(async ({ started, signal }) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve))
    await started.add("late", () => void closed.push("late"))
    throw signal.reason
  })
  await role.close()
  expect(closed).toEqual(["late"])
  await expect(role.ready).rejects.toMatchObject({ code: "ShuttingDown" })
})
