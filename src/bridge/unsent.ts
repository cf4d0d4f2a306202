import type { Connection } from "./http/connection.ts"
import type { Child } from "./process/child.ts"

/** Unsent bytes from which on a child waits for its client, if only one connection has some. */
export const fullBytes = 2 ** 20

/** What becomes of connections whose clients do not read. */
export type Slow = {
  /** Must be called when something was written to a connection. */
  wrote(connection: Connection): void
  /** Called when another connection takes the place of one. */
  left(connection: Connection): void
}

/** The child of one session, as far as it waits for slow clients. */
export type Waiting = Pick<Child, "hold" | "release">

/** Unsent bytes from which on a connection is counted: below that, Node does not say when they are taken. */
const countedBytes = 65_536

/**
 * Makes a child wait until its client has taken what was written to it, if that is much: on one connection, or on many,
 * each of which may then have less.
 */
export const waiting = (child: Waiting): Slow => {
  const slow = new Set<Connection>()
  const left = (connection: Connection): void => {
    slow.delete(connection)
    child.release(connection)
  }
  return {
    left,
    wrote: (connection) => {
      const { unsent, isGone } = connection
      if (unsent <= countedBytes || isGone) return
      slow.add(connection)
      if (unsent * slow.size >= fullBytes) child.hold(connection)
      connection.onTaken(() => left(connection))
    },
  }
}

/** Most unsent bytes of one connection, and of all together. */
const mostOfOne = 32 * 2 ** 20
const mostOfAll = 64 * 2 ** 20

/**
 * The bytes that clients of children of all have not taken. Such a child cannot wait for one client, so beyond the limit
 * the fullest connection is broken off.
 */
export class Unsent implements Slow {
  /** What each connection had when it was last written to. */
  readonly #counted = new Map<Connection, number>()
  #bytes = 0

  /** Bytes of all connections, at most what they have. */
  get bytes(): number {
    return this.#bytes
  }

  wrote(connection: Connection): void {
    const { unsent, isGone } = connection
    // one that is gone would never be taken
    if (unsent <= countedBytes || isGone) return
    if (unsent > mostOfOne) return void connection.destroy()
    if (!this.#counted.has(connection)) connection.onTaken(() => this.#count(connection, 0))
    this.#count(connection, unsent)
    if (this.#bytes <= mostOfAll) return
    for (const [each] of this.#counted) this.#count(each, each.unsent)
    while (this.#bytes > mostOfAll) this.#breakFullest()
  }

  left(): void {}

  #count(connection: Connection, bytes: number): void {
    this.#bytes += bytes - (this.#counted.get(connection) ?? 0)
    if (bytes === 0) this.#counted.delete(connection)
    else this.#counted.set(connection, bytes)
  }

  #breakFullest(): void {
    const [fullest] = [...this.#counted].reduce((most, each) => (each[1] > most[1] ? each : most))
    this.#count(fullest, 0)
    fullest.destroy()
  }
}
