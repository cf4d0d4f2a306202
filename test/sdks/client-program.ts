import { type ChildProcess, spawn } from "node:child_process"
import { EventEmitter, once } from "node:events"
import { createInterface } from "node:readline"

/** What a client program saw of an error. */
export type Failure = {
  /** What the library shows a person: the error as the language prints it, without the way there. */
  readonly shown: string
  /** The code of the JSON-RPC error, if the library tells one. */
  readonly rpc: number | null
  readonly message: string | null
  /** The data of the JSON-RPC error, if the library tells it. */
  readonly data: Readonly<Record<string, unknown>> | null
}

/** A command that failed in the client program. */
export class ClientFailure extends Error {
  readonly failure: Failure
  constructor(failure: Failure) {
    super(failure.shown)
    this.failure = failure
  }
}

/** What a command failed with; rejects if it did not fail in the client program. */
export const failureOf = (outcome: Promise<unknown>): Promise<Failure> =>
  outcome.then(
    (value) => {
      throw new Error(`no failure, but ${JSON.stringify(value)?.slice(0, 200)}`)
    },
    (error) => {
      if (error instanceof ClientFailure) return error.failure
      throw error
    },
  )

/** What a tool answered, and how often it told progress; `steps` in its arguments says how often it should. */
export type Called = { readonly text: string; readonly progress: number; readonly error: boolean }

/** How a call is made besides its tool and arguments. */
export type CallOptions = {
  /** Gives the call up, in the library's own way. */
  readonly signal?: AbortSignal
  /** Called for each progress notification, when it is there. */
  readonly onProgress?: () => void
}

/** A client of whichever SDK: a process of its own, driven by JSON lines. Each command rejects with a {@link ClientFailure}. */
export type ClientProgram = {
  /**
   * Opens a connection, which the other commands use; resolves with the revision that was agreed. `alone`: without a stream
   * for what the server says by itself, if the library would wait for its head.
   */
  connect(url: string, token: string, alone?: boolean): Promise<{ readonly revision: string }>
  tools(): Promise<readonly string[]>
  call(tool: string, args?: Readonly<Record<string, unknown>>, options?: CallOptions): Promise<Called>
  resources(): Promise<readonly string[]>
  read(uri: string): Promise<string>
  /** Ends the session as a client should, then the connection. */
  close(): Promise<void>
  /** Ends the process. */
  stop(): Promise<void>
}

/** After how many seconds the library gives up a request by itself: whatever is told «at once» comes long before. */
export const ownTimeoutSeconds = 60

/** What a client program writes: progress of a call, or the outcome of a command, with the fields of that command's answer. */
type Line = {
  readonly id: number
  readonly event?: "progress"
  readonly call: number
  readonly failure?: Failure
  readonly revision: string
  readonly tools: readonly string[]
  readonly uris: readonly string[]
} & Omit<Called, "progress">
type Command = Readonly<Record<string, unknown>>
type Waiting = {
  readonly done: (line: Line) => void
  readonly fail: (error: Error) => void
  readonly onProgress: (() => void) | undefined
}

const ended = (child: ChildProcess): Promise<void> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve()
    : new Promise((done) => child.once("exit", () => done()))

/** How long progress may still come after the answer, milliseconds. */
const latestProgressMs = 5_000

/**
 * How often each call told progress. Libraries that handle every message by itself, as Go's, may show an answer before the
 * progress that came before it.
 */
const createProgress = () => {
  const heard = new Map<number, number>()
  const news = new EventEmitter()
  return {
    tell: (call: number): void => {
      heard.set(call, (heard.get(call) ?? 0) + 1)
      news.emit(String(call))
    },
    /** Resolves with how often the call told progress, once it is `expected` times, or when no more is to come. */
    count: async (call: number, expected: number): Promise<number> => {
      const late = AbortSignal.timeout(latestProgressMs)
      while ((heard.get(call) ?? 0) < expected && !late.aborted)
        await once(news, String(call), { signal: late }).catch(() => {})
      return heard.get(call) ?? 0
    },
  }
}

/** Commands and answers of a process, each command with a number. */
const conversation = (child: ChildProcess) => {
  const waiting = new Map<number, Waiting>()
  const progress = createProgress()
  let last = 0
  let errors = ""
  child.stderr?.on("data", (chunk) => (errors = (errors + chunk).slice(-4_000)))
  const giveUp = (why: string): void => {
    for (const { fail } of waiting.values()) fail(new Error(`${why}: ${errors}`))
    waiting.clear()
  }
  child.once("error", (error) => giveUp(error.message))
  child.once("exit", (code) => giveUp(`the client program ended with ${code}`))
  createInterface({ input: child.stdout ?? process.stdin }).on("line", (text) => {
    const line: Line = JSON.parse(text)
    if (line.event === "progress") {
      progress.tell(line.call)
      return waiting.get(line.call)?.onProgress?.()
    }
    const asked = waiting.get(line.id)
    waiting.delete(line.id)
    if (line.failure === undefined) asked?.done(line)
    else asked?.fail(new ClientFailure(line.failure))
  })
  const ask = (command: Command, onProgress?: () => void): { readonly id: number; readonly answer: Promise<Line> } => {
    last += 1
    const id = last
    const answer = new Promise<Line>((done, fail) => waiting.set(id, { done, fail, onProgress }))
    child.stdin?.write(`${JSON.stringify({ id, ...command })}\n`)
    return { id, answer }
  }
  return { ask, count: progress.count }
}

/** Starts a client program. */
export const startClient = (command: readonly string[]): ClientProgram => {
  const [file = "", ...args] = command
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"] })
  const { ask, count } = conversation(child)
  const answerTo = (command: Command) => ask(command).answer
  return {
    connect: async (url, token, alone = false) => {
      const { revision } = await answerTo({ do: "connect", url, token, timeout: ownTimeoutSeconds, alone })
      return { revision }
    },
    tools: async () => (await answerTo({ do: "tools" })).tools,
    call: async (tool, args = {}, { signal, onProgress } = {}) => {
      const { id, answer } = ask({ do: "call", tool, args }, onProgress)
      signal?.addEventListener("abort", () => void answerTo({ do: "cancel", call: id }).catch(() => {}))
      const { text, error } = await answer
      return { text, progress: await count(id, Number(args.steps ?? 0)), error }
    },
    resources: async () => (await answerTo({ do: "resources" })).uris,
    read: async (uri) => (await answerTo({ do: "read", uri })).text,
    close: async () => void (await answerTo({ do: "close" })),
    stop: async () => {
      child.kill("SIGTERM")
      await ended(child)
    },
  }
}
