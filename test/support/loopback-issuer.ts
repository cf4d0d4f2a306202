import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import type { JWTPayload } from "jose"
import { systemClock as clock } from "../../src/adapters/system/clock.ts"
import { tokenIssuer } from "./token-issuer.ts"

/** An issuer on loopback whose tokens say what a test wants. */
export type LoopbackIssuer = {
  /** Value of the iss claim; its metadata and keys are found there. */
  readonly issuer: string
  /** Signs a token for an hour; the claims are laid over those that each token has. */
  sign(claims: JWTPayload): Promise<string>
  close(): Promise<void>
}

/** Starts an issuer of tokens for `audience`. */
export const startLoopbackIssuer = async (audience: string): Promise<LoopbackIssuer> => {
  let answer: (path: string) => Promise<Response> = async () => new Response("", { status: 503 })
  const server = createServer(async ({ url = "" }, response) => {
    const found = await answer(url)
    response.writeHead(found.status, { "content-type": "application/json" }).end(await found.text())
  })
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const tokens = await tokenIssuer({ issuer, audience, clock })
  answer = (path) => tokens.fetch(`${issuer}${path}`)
  return {
    issuer,
    sign: (claims) => tokens.sign(claims),
    close: () =>
      new Promise((done) => {
        server.close(() => done())
        server.closeAllConnections()
      }),
  }
}
