import { once } from "node:events"
import { createServer, type ServerResponse } from "node:http"
import { type AddressInfo, connect } from "node:net"
import { expect, onTestFinished, test } from "vitest"
import { createConnection } from "../../../../src/bridge/http/connection.ts"

const request = "GET / HTTP/1.1\r\nhost: x\r\n\r\n"

/** Sends requests in one piece, of which none gets an answer; resolves with the responses, and the client's end. */
const unanswered = async (count: number) => {
  const responses: ServerResponse[] = []
  const all = Promise.withResolvers<void>()
  const server = createServer((_, response) => {
    if (responses.push(response) === count) all.resolve()
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1")
  onTestFinished(() => {
    socket.destroy()
    server.close()
  })
  // without a reader the end would not be seen
  socket.resume().on("error", () => {})
  socket.write(request.repeat(count))
  await all.promise
  return { server, responses, socket }
}

test.for([0, 1])(
  "breaking off response %i of two frees the socket, though another one stands before it",
  async (at) => {
    const { responses, socket } = await unanswered(2)
    const gone = once(socket, "close")
    const connection = createConnection(responses[at] as ServerResponse)
    connection.destroy()
    expect(connection.isGone).toBe(true)
    await gone
  },
)

test("breaking off a response that the client has whole leaves the socket to the next one", async () => {
  const { server, responses, socket } = await unanswered(1)
  const [response] = responses as [ServerResponse]
  const connection = createConnection(response)
  const finished = once(response, "finish")
  connection.empty(202)
  await finished
  connection.destroy()
  const next = once(server, "request")
  socket.write(request)
  await next
  expect(socket.destroyed).toBe(false)
})
