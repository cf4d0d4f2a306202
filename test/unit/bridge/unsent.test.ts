import { describe, expect, test } from "vitest"
import type { Connection } from "../../../src/bridge/http/connection.ts"
import { Unsent, waiting } from "../../../src/bridge/unsent.ts"

const mebibyte = 2 ** 20

/** A connection that only has a number of unsent bytes: real sockets would hold gigabytes. */
const connectionOf = (unsent: number) => {
  let taken = (): void => {}
  const state = { unsent, isDestroyed: false }
  const connection = {
    get unsent() {
      return state.unsent
    },
    get isGone() {
      return state.isDestroyed
    },
    destroy: () => {
      state.isDestroyed = true
      state.unsent = 0
      taken()
    },
    onTaken: (call: () => void) => {
      taken = call
    },
  } as unknown as Connection
  const take = () => {
    state.unsent = 0
    taken()
  }
  return { connection, state, take }
}

describe("bytes that clients of a common child do not take", () => {
  test("are counted for as long as they are not taken, small ones not at all", () => {
    const unsent = new Unsent()
    const [one, small] = [connectionOf(2 * mebibyte), connectionOf(65_536)]
    for (const { connection } of [one, small, one]) unsent.wrote(connection)
    expect(unsent.bytes).toBe(2 * mebibyte)
    one.state.unsent = 3 * mebibyte
    unsent.wrote(one.connection)
    expect(unsent.bytes).toBe(3 * mebibyte)
    one.take()
    expect(unsent.bytes).toBe(0)
  })

  test("are at most 32 MiB of one connection", () => {
    const unsent = new Unsent()
    const { connection, state } = connectionOf(32 * mebibyte + 1)
    unsent.wrote(connection)
    expect(state.isDestroyed).toBe(true)
    expect(unsent.bytes).toBe(0)
    state.unsent = mebibyte
    unsent.wrote(connection)
    expect(unsent.bytes).toBe(0)
  })

  test("are at most 64 MiB of all: beyond it the fullest connection is broken off", () => {
    const unsent = new Unsent()
    const all = [10, 20, 15, 18].map((mebibytes) => connectionOf(mebibytes * mebibyte))
    for (const { connection } of all) unsent.wrote(connection)
    expect(all.filter(({ state }) => state.isDestroyed)).toEqual([])
    const last = connectionOf(2 * mebibyte)
    unsent.wrote(last.connection)
    expect([...all, last].map(({ state }) => state.isDestroyed)).toEqual([false, true, false, false, false])
    expect(unsent.bytes).toBe(45 * mebibyte)
  })

  test("that were taken in part count no more than they are", () => {
    const unsent = new Unsent()
    const all = [30, 30, 4].map((mebibytes) => connectionOf(mebibytes * mebibyte))
    for (const { connection } of all) unsent.wrote(connection)
    for (const { state } of all) state.unsent = mebibyte
    const last = connectionOf(5 * mebibyte)
    unsent.wrote(last.connection)
    expect([...all, last].filter(({ state }) => state.isDestroyed)).toEqual([])
    expect(unsent.bytes).toBe(8 * mebibyte)
  })
})

test("a child of one session waits from 1 MiB on, until its client has taken it or was replaced", () => {
  const held = new Set<object>()
  const slow = waiting({ hold: (by) => void held.add(by), release: (by) => void held.delete(by) })
  const [one, other] = [connectionOf(mebibyte - 1), connectionOf(mebibyte)]
  slow.wrote(one.connection)
  expect(held.size).toBe(0)
  slow.wrote(other.connection)
  expect(held.size).toBe(1)
  other.take()
  expect(held.size).toBe(0)
  other.state.unsent = 2 * mebibyte
  slow.wrote(other.connection)
  slow.left(other.connection)
  expect(held.size).toBe(0)
})

test("a child of one session waits if many connections have a little each, until one of them has taken it", () => {
  const held = new Set<object>()
  const slow = waiting({ hold: (by) => void held.add(by), release: (by) => void held.delete(by) })
  const [small, gone, next, last] = [
    connectionOf(65_536),
    connectionOf(65_537),
    connectionOf(65_537),
    connectionOf(65_537),
  ]
  gone.state.isDestroyed = true
  const others = Array.from({ length: 15 }, () => connectionOf(65_537))
  // one counts once, however often it is written to
  for (const { connection } of [small, gone, ...others, ...others]) slow.wrote(connection)
  others[0]?.take()
  slow.left(others[1]?.connection as Connection)
  for (const { connection } of [next, last]) slow.wrote(connection)
  expect(held.size).toBe(0)
  const one = connectionOf(65_537)
  slow.wrote(one.connection)
  expect([...held]).toEqual([one.connection])
  one.take()
  expect(held.size).toBe(0)
})

test("a child of one session waits for two connections with half of what one may have", () => {
  const held = new Set<object>()
  const slow = waiting({ hold: (by) => void held.add(by), release: (by) => void held.delete(by) })
  const [one, other] = [connectionOf(mebibyte / 2), connectionOf(mebibyte / 2)]
  slow.wrote(one.connection)
  expect(held.size).toBe(0)
  slow.wrote(other.connection)
  expect(held.size).toBe(1)
})
