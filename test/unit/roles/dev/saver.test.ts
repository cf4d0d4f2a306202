import { expect, test } from "vitest"
import { createSaver } from "../../../../src/roles/dev/state.ts"

/** A saver whose writes end when the test says so. */
const stage = () => {
  const state = { text: "a", written: [] as string[], errors: [] as unknown[], ends: [] as ((error?: Error) => void)[] }
  const saver = createSaver({
    text: () => state.text,
    write: (text) =>
      new Promise<void>((resolve, reject) => {
        state.written.push(text)
        state.ends.push((error) => (error === undefined ? resolve() : reject(error)))
      }),
    onError: (error) => state.errors.push(error),
  })
  return { state, saver }
}
const turn = () => new Promise((resolve) => setImmediate(resolve))

test("changes of one turn are one write, and what changes meanwhile is the next", async () => {
  const { state, saver } = stage()
  saver.touch()
  state.text = "b"
  saver.touch()
  await turn()
  expect(state.written).toEqual(["b"])
  state.text = "c"
  saver.touch()
  await turn()
  expect(state.written).toEqual(["b"])
  state.ends[0]?.()
  await turn()
  expect(state.written).toEqual(["b", "c"])
})

test("settled waits for the write of what was touched before, and for nothing if nothing is to be written", async () => {
  const { state, saver } = stage()
  await saver.settled()
  saver.touch()
  let isSettled = false
  const settled = saver.settled().then(() => {
    isSettled = true
  })
  await turn()
  expect(isSettled).toBe(false)
  state.ends[0]?.()
  await settled
  expect(state.written).toEqual(["a"])
})

test("what is equal is not written again, but after a write that failed it is", async () => {
  const { state, saver } = stage()
  const touch = async (error?: Error) => {
    saver.touch()
    await turn()
    state.ends.at(-1)?.(error)
    await saver.settled()
  }
  await touch()
  await touch()
  expect(state.written).toEqual(["a"])
  state.text = "b"
  await touch(new Error("no space"))
  expect(state.errors).toHaveLength(1)
  await touch()
  expect(state.written).toEqual(["a", "b", "b"])
})
