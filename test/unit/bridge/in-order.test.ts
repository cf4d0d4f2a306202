import { expect, test } from "vitest"
import { InOrder } from "../../../src/bridge/in-order.ts"

const listOf = <M>(...members: readonly M[]): InOrder<M> => {
  const list = new InOrder<M>()
  for (const member of members) list.add(member)
  return list
}

test("members stay in the order in which they came, whichever of them go", () => {
  const list = listOf("a", "b", "c", "d")
  expect([list.remove("b"), list.remove("d")]).toEqual([true, true])
  list.add("e")
  expect(list.all()).toEqual(["a", "c", "e"])
  expect(list.size).toBe(3)
})

test("a member that is not there cannot be removed, and removing it changes nothing", () => {
  const list = listOf("a")
  expect(list.remove("b")).toBe(false)
  expect(list.all()).toEqual(["a"])
})

test("the oldest member is found of which something is true", () => {
  const list = listOf(3, 8, 6)
  expect(list.find((member) => member > 5)).toBe(8)
  expect(list.find((member) => member > 9)).toBeUndefined()
})

test("members can be removed while the list of them is gone through", () => {
  const list = listOf("a", "b", "c")
  for (const member of list.all()) list.remove(member)
  expect(list.size).toBe(0)
})

test("taking all members empties the list", () => {
  const list = listOf("a", "b")
  expect(list.takeAll()).toEqual(["a", "b"])
  expect([list.size, list.takeAll()]).toEqual([0, []])
})
