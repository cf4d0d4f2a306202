import { expect, test } from "vitest"
import { fakeStarted } from "../../support/bridge-doubles.ts"

/** The methods of a line's message, or what the peer took the line for. */
const taken = (line: string): readonly string[] => {
  const found: string[] = []
  const { peer } = fakeStarted({
    notification: ({ method }) => void found.push(String(method)),
    junk: () => void found.push("junk"),
  })
  peer.take(Buffer.from(line))
  return found
}

test.for([0, 70_000])("a line of %i characters and more is a message only if all of it is valid JSON", (length) => {
  const message = `{"jsonrpc":"2.0","method":"m","params":{"x":"${"x".repeat(length)}"}`
  expect(taken(`${message}}`)).toEqual(["m"])
  for (const end of [",}", ',"n":01}', ',"n":1.}', ',"t":tru}', ',"s":"\\x"}', ',"s":"\t"}', "}}", "} x", ',"a":[1,]}'])
    expect([end, ...taken(message + end)]).toEqual([end, "junk"])
})
