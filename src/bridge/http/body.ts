import type { IncomingMessage } from "node:http"
import { AppError } from "../../errors.ts"
import { type Budget, createGather, declaredLength } from "../../intake/bodies.ts"

/** Most bytes of a body. */
const largestBody = 16 * 2 ** 20

/**
 * So many bytes more are not counted, which for a whole body makes twice as many at most: its connection alone takes
 * more. Thus large bodies, whoever sends them, leave room for every `initialize`.
 */
const freeBytes = 4_096

const tooLarge = (): AppError =>
  new AppError("BodyTooLarge", {
    detail: `The body has more than ${largestBody} bytes.`,
    headers: { connection: "close" },
  })

/** The connection stays: what is left of the body is read and dropped, else the client would not hear of the refusal. */
const bodiesTooLarge = (): AppError =>
  new AppError("BodiesTooLarge", {
    detail: "The server has not read yet what this client sent before.",
    retryAfterSeconds: 5,
  })

/**
 * Reads a request's body. `owner`: whose share of the budget it takes. Calls `done` with the body, which counts until
 * what `done` returns has resolved, or `refused` with BodyTooLarge or BodiesTooLarge; neither if the client goes away.
 */
export const readRequest = (
  request: IncomingMessage,
  budget: Budget,
  owner: string,
  done: (body: Buffer) => Promise<void> | undefined,
  refused: (error: AppError) => void,
): void => {
  const declared = declaredLength(request.headers["content-length"])
  if (declared !== undefined && declared > largestBody) return void refused(tooLarge())
  const holding = budget.open()
  const gather = createGather({
    limit: largestBody,
    declared,
    take: (bytes) => bytes <= freeBytes || holding.take(owner, bytes),
  })
  request.on("data", (piece: Buffer) => {
    const overflow = gather.add(piece)
    if (overflow === undefined) return
    request.removeAllListeners("data").resume()
    holding.end()
    refused(overflow === "limit" ? tooLarge() : bodiesTooLarge())
  })
  request.once("end", () => {
    const wait = done(gather.whole())
    // once they are written, the bytes are the child's pipe's, whose fullness is waited for
    if (wait === undefined) holding.end()
    else void wait.finally(() => holding.end())
  })
  request.once("close", () => {
    if (!request.complete) holding.end()
  })
}
