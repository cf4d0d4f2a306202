/** Resolves when the signal is aborted, at once if it is by now; never if there is none. */
export const untilAborted = (signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted === true) resolve()
    else signal?.addEventListener("abort", () => resolve(), { once: true })
  })

/**
 * Follows `promise`, but rejects with the signal's reason as soon as that is aborted: whoever was called may be deaf to it, or
 * work for others too. What becomes of the promise afterwards is nobody's business.
 */
export const unlessAborted = async <T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> => {
  const aborted = Promise.withResolvers<never>()
  const onAbort = () => aborted.reject(signal?.reason)
  if (signal?.aborted === true) onAbort()
  else signal?.addEventListener("abort", onAbort, { once: true })
  try {
    return await Promise.race([aborted.promise, promise])
  } finally {
    signal?.removeEventListener("abort", onAbort)
  }
}
