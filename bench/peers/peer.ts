/** Another gateway or proxy for MCP that is compared with ours. */
import type { ProcessOptions } from "../process.ts"
import type { Pin } from "./pin.ts"

/** Where a peer runs, and what it stands in front of. */
export type Scene = {
  /** Folder of the installed package (install.ts). */
  readonly installed: string
  /** An empty folder for this start alone. */
  readonly scratch: string
  /** Port on 127.0.0.1 for the peer. */
  readonly port: number
  /** The measured server's endpoint, `http://127.0.0.1:PORT/mcp`. */
  readonly upstream: string
  /** The same server's program, for peers that start it themselves: `node FILE --stdio`. */
  readonly server: string
  /** 48 random bytes in base64, for peers that must be given a key. */
  readonly secret: string
}

/** How a peer is started, and how it is called. */
export type Launch = {
  readonly process: ProcessOptions
  /** Its MCP endpoint. */
  readonly url: string
  /** Headers for every request, such as a token. */
  readonly headers?: Readonly<Record<string, string>>
  /** Tells the running peer which server it stands in front of, if its flags cannot. */
  enrol?(signal: AbortSignal): Promise<void>
}

/** A peer. */
export type Peer = {
  /** Name for `--only` and in the table. */
  readonly name: string
  readonly pin: Pin
  /** How it reaches the server: as a child process over stdin and stdout, or over HTTP. */
  readonly reaches: "stdio" | "HTTP"
  /** What it does for each call, for the table. */
  readonly does: string
  launch(scene: Scene): Promise<Launch>
}
