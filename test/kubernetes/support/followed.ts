/** What the API server tells of objects, kept to be searched. */
import { spawn } from "node:child_process"
import { afterAll } from "vitest"
import { cluster } from "./cluster.ts"

/** Every state of objects that the API server tells of. */
export type Followed = {
  /** All of it so far, as JSON. */
  text(): string
}

/** Follows the objects of a kind in a namespace until the end of the file, with all their fields. */
export const follow = (plural: string, namespace: string): Followed => {
  const args = [
    "get",
    plural,
    "-n",
    namespace,
    "--watch",
    "--output-watch-events",
    "--show-managed-fields",
    "-o",
    "json",
  ]
  const child = spawn(cluster.kubectl, ["--kubeconfig", cluster.kubeconfig, ...args], {
    stdio: ["ignore", "pipe", "ignore"],
  })
  afterAll(() => void child.kill("SIGKILL"))
  const pieces: Buffer[] = []
  child.stdout.on("data", (piece: Buffer) => pieces.push(piece))
  return { text: () => Buffer.concat(pieces).toString() }
}
