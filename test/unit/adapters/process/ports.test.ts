import { createServer } from "node:net"
import { expect, test } from "vitest"
import { createPorts, reportsPortTaken } from "../../../../src/adapters/process/ports.ts"

test("no port is given twice, and one that was released is given to whoever wants it", async () => {
  const ports = createPorts()
  const given = await Promise.all(Array.from({ length: 20 }, () => ports.take()))
  expect(new Set(given).size).toBe(20)
  const [first = 0] = given
  expect(await ports.take(first)).not.toBe(first)
  ports.release(first)
  expect(await ports.take(first)).toBe(first)
})

test("a wanted port that another program holds is replaced by another one", async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve))
  const address = other.address()
  const taken = typeof address === "object" ? address?.port : undefined
  expect(await createPorts().take(taken)).not.toBe(taken)
  await new Promise((resolve) => other.close(resolve))
})

test.each([
  ["Node", "Error: listen EADDRINUSE: address already in use 127.0.0.1:1"],
  ["Deno", "AddrInUse: Address already in use (os error 98)"],
  ["Python", "OSError: [Errno 98] Address already in use"],
  ["uvicorn", "[Errno 48] error while attempting to bind on address ('127.0.0.1', 1): address already in use"],
  ["Go", "listen tcp 127.0.0.1:1: bind: address already in use"],
])("the words of %s about a taken port are known", (_name, words) => {
  expect(reportsPortTaken(`starting\n${words}\n`)).toBe(true)
  expect(reportsPortTaken("listening")).toBe(false)
})
