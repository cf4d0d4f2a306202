import type { Turns } from "../intake/turns.ts"
import type { BodySink, UpstreamAnswer } from "./upstream-answer.ts"

/**
 * The answer with a body that comes no faster than its sink's work leaves turns of the event loop to others: in a turn that
 * is spent its pieces, and its end, wait for a later one of their owner, in order. Once `signal` is aborted nothing waits.
 */
export const paced = (
  answer: UpstreamAnswer,
  turns: Turns,
  { owner, signal }: { readonly owner: string; readonly signal: AbortSignal },
): UpstreamAnswer => {
  const late: (() => void)[] = []
  let isLate = false
  /** False while the sink wants no more, until it resumes. */
  let wants = true

  const catchUp = async (sink: BodySink): Promise<void> => {
    try {
      for (let step = late.shift(); step !== undefined; step = late.shift()) {
        await turns.next(owner, signal)
        step()
      }
      isLate = false
      if (wants) answer.resume()
    } catch {
      sink.fail(signal.reason)
    }
  }
  const give = (sink: BodySink, chunk: Buffer): boolean => {
    wants = turns.measure(() => sink.data(chunk))
    return wants
  }
  const inOrder = (sink: BodySink, step: () => void): void => {
    late.push(step)
    if (isLate) return
    isLate = true
    void catchUp(sink)
  }
  return {
    status: answer.status,
    headers: answer.headers,
    consume: (sink) =>
      answer.consume({
        data: (chunk) => {
          if (!isLate && !turns.isSpent()) return give(sink, chunk)
          inOrder(sink, () => give(sink, chunk))
          return false
        },
        end: () => (isLate ? inOrder(sink, sink.end) : sink.end()),
        fail: (error) => (isLate && !signal.aborted ? inOrder(sink, () => sink.fail(error)) : sink.fail(error)),
      }),
    resume: () => {
      wants = true
      if (!isLate) answer.resume()
    },
    abort: () => answer.abort(),
  }
}
