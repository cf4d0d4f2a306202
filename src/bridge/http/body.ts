import type { IncomingMessage } from "node:http"
import { AppError } from "../../errors.ts"
import { type Budget, bodiesTooLarge, createGather, declaredLength } from "../../intake/bodies.ts"

/** Most bytes of a body. */
const largestBody = 16 * 2 ** 20

const tooLarge = (): AppError =>
  new AppError("BodyTooLarge", {
    detail: `The body has more than ${largestBody} bytes.`,
    headers: { connection: "close" },
  })

/**
 * Reads a request's body. `owner`: whose share of the budget it takes. Calls `done` with the body, or `refused` with
 * BodyTooLarge or BodiesTooLarge; neither if the client goes away.
 */
export const readRequest = (
  request: IncomingMessage,
  budget: Budget,
  owner: string,
  done: (body: Buffer) => void,
  refused: (error: AppError) => void,
): void => {
  const declared = declaredLength(request.headers["content-length"])
  if (declared !== undefined && declared > largestBody) return void refused(tooLarge())
  const holding = budget.open()
  const gather = createGather({ limit: largestBody, declared, take: (bytes) => holding.take(owner, bytes) })
  request.on("data", (piece: Buffer) => {
    const overflow = gather.add(piece)
    if (overflow === undefined) return
    request.removeAllListeners("data").resume()
    holding.end()
    refused(overflow === "limit" ? tooLarge() : bodiesTooLarge())
  })
  request.once("end", () => {
    const body = gather.whole()
    // from here on the bytes are the child's pipe's, whose fullness is waited for
    holding.end()
    done(body)
  })
  request.once("close", () => holding.end())
}
