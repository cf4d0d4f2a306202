/** Resolves when the signal is aborted, at once if it is aborted already; never resolves without a signal. */
export const untilAborted = (signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted === true) resolve()
    else signal?.addEventListener("abort", () => resolve(), { once: true })
  })

/**
 * Settles like `promise`, but rejects with the signal's reason as soon as the signal is aborted. For work that ignores
 * the signal, or that other callers share. The work itself goes on; its later result or error is dropped.
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
