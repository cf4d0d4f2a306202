/**
 * Runs in a Pod of the gateway's namespace, with the gateway's labels, as `node -e`. It sends one request to a Pod whose
 * address it is told, again and again until the Pod answers: so a bare Pod is called by the network path of the gateway.
 *
 * POST /?host=ADDRESS&port=PORT with the body to send. Answers with JSON: `connectedAt` and `answeredAt` in milliseconds
 * since the epoch, `status` of the Pod's answer. After 60 s without one it answers 504.
 */
const http = require("node:http")
const net = require("node:net")

const now = () => performance.timeOrigin + performance.now()
const pauseMs = 5
// a network that does not know the Pod yet drops the first packet, which the kernel repeats after a second only
const tryMs = 30

/** One connection; null if nobody accepts it in time. */
const connect = (host, port) =>
  new Promise((done) => {
    const socket = net.connect({ host, port, noDelay: true })
    const end = (result) => {
      socket.removeAllListeners()
      socket.on("error", () => {})
      if (result === null) socket.destroy()
      done(result)
    }
    socket.setTimeout(tryMs, () => end(null))
    socket.once("error", () => end(null))
    socket.once("connect", () => {
      socket.setTimeout(0)
      end(socket)
    })
  })

/** The request over a connection; null if the connection ends without an answer. */
const send = (socket, host, body) =>
  new Promise((done) => {
    const headers = {
      host,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "content-length": Buffer.byteLength(body),
    }
    const request = http.request(
      { createConnection: () => socket, method: "POST", path: "/mcp", headers },
      (answer) => {
        done({ status: answer.statusCode, answeredAt: now() })
        answer.on("error", () => {})
        answer.resume()
      },
    )
    request.on("error", () => done(null))
    request.end(body)
  })

const pursue = async (host, port, body) => {
  for (const end = now() + 60_000; now() < end; await new Promise((done) => setTimeout(done, pauseMs))) {
    const socket = await connect(host, port)
    if (socket === null) continue
    const connectedAt = now()
    const answer = await send(socket, `${host}:${port}`, body)
    if (answer !== null) return { connectedAt, ...answer }
  }
  return null
}

http
  .createServer(async (request, response) => {
    const { searchParams } = new URL(request.url, "http://caller")
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString()
    const result =
      body === "" ? { ready: true } : await pursue(searchParams.get("host"), Number(searchParams.get("port")), body)
    response.writeHead(result === null ? 504 : 200, { "content-type": "application/json" }).end(JSON.stringify(result))
  })
  .listen(8080)
