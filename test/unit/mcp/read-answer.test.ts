import { expect, test } from "vitest"
import { readAnswer } from "../../../src/mcp/read-answer.ts"

const answer = '{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}'
const read = (type: string, text: string, size = text.length) => {
  const bytes = Buffer.from(text)
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.subarray(at, at + size))
      controller.close()
    },
  })
  return readAnswer(new Response(body, { headers: { "content-type": type } }), { id: 7, maxBytes: 4 * 2 ** 20 })
}

test.each(["\n", "\r", "\r\n"])("the answer is found in an event stream, however its lines end (%j)", async (end) => {
  const text = `: x${end}${end}data: {"id":1}${end}${end}data:${end}data: ${answer}${end}${end}data: {}${end}${end}`
  for (const size of [text.length, 1, 7])
    expect(await read("text/event-stream; charset=utf-8", text, size)).toMatchObject({
      message: { id: 7, result: { tools: [] } },
    })
})

test("the answer is found in a JSON body that comes byte by byte", async () => {
  expect(await read("application/json", answer, 1)).toMatchObject({ message: { id: 7 } })
})

test.each(["text/event-stream", "application/json"])("an answer of more than 4 MiB is refused (%s)", async (type) => {
  await expect(read(type, `data: ${"x".repeat(4 * 2 ** 20)}`, 2 ** 16)).rejects.toMatchObject({
    code: "UpstreamInvalid",
  })
})
