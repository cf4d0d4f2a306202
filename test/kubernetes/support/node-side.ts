/**
 * What a test plays on the node of the cluster that is built from source, whose node is this machine: addresses that Pods
 * may or may not call, and the enforcement of NetworkPolicies on the way to processes of the node.
 */
import { execFile } from "node:child_process"
import { once } from "node:events"
import { createServer } from "node:http"
import { promisify } from "node:util"

const run = (command: string, ...args: readonly string[]) =>
  promisify(execFile)(command, [...args], { timeout: 10_000 })

const succeeds = (command: string, ...args: readonly string[]): Promise<boolean> =>
  run(command, ...args).then(
    () => true,
    () => false,
  )

/** The bridge that holds the node's addresses, and the one that the Pods hang on. */
const [nodeBridge, podBridge] = ["rfnode0", "rfpod0"]

/**
 * The program that enforces policies there looks at what the node forwards from Pod to Pod. API server, kubelet and DNS
 * are processes of the node: packets to them are looked at too, as other networks do it, once this rule is in.
 */
const rule = ["INPUT", "-i", podBridge, "-j", "RFNP"]

/**
 * Gives the node more addresses, each with a server at port 80 that answers its text, and has policies enforced to the
 * node itself. Resolves with what undoes it.
 *
 * @param texts What is answered, by address, e.g. `{ "169.254.169.254": "metadata" }`.
 */
export const playNode = async (texts: Readonly<Record<string, string>>): Promise<() => Promise<void>> => {
  const undo: (() => Promise<unknown>)[] = []
  if (!(await succeeds("iptables", "-C", ...rule))) await run("iptables", "-I", ...rule)
  undo.push(() => run("iptables", "-D", ...rule))
  for (const [address, text] of Object.entries(texts)) {
    const place = [`${address}/32`, "dev", nodeBridge]
    if (!(await succeeds("ip", "address", "add", ...place))) await run("ip", "address", "replace", ...place)
    undo.push(() => run("ip", "address", "delete", ...place))
    const server = createServer((_, response) => response.end(text)).listen(80, address)
    await once(server, "listening")
    undo.push(async () => {
      server.close()
      server.closeAllConnections()
    })
  }
  return async () => {
    for (const each of undo.reverse()) await each()
  }
}
