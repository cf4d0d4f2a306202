import type { HealthWatch } from "./container-run.ts"
import { isRefused, type PodContainer, type PodScope, type Ran, resolve, runOnce, show } from "./pod-container.ts"
import { reportsPortTaken } from "./ports.ts"
import { runRepeatedly } from "./restarts.ts"
import { isLastRun, toWaiting } from "./status.ts"

/** A Pod's server: its container, and the port that the node gave to it. */
type Server = { readonly scope: PodScope; readonly each: PodContainer; port: number | undefined }

/** A server that ends within this time, milliseconds, with a log message about a port in use gets another port. */
const stolenMs = 10_000

/** Takes a port, the former one if it is still free, and writes a new port into the Pod's annotation. */
const takePort = async (server: Server, former = server.port): Promise<number> => {
  const { deps, report } = server.scope
  if (former !== undefined) deps.ports.release(former)
  const port = await deps.ports.take(former)
  server.port = port
  if (port !== former) await report.bind(port)
  return port
}

/**
 * Takes another port in place of one that another program has; the old one is released afterwards, so it is not taken
 * again.
 */
const changePort = async (server: Server): Promise<number> => {
  const { deps, report } = server.scope
  const stolen = server.port
  const port = await deps.ports.take()
  server.port = port
  if (stolen !== undefined) deps.ports.release(stolen)
  await report.bind(port)
  return port
}

const healthWatch = ({ scope, each }: Server, port: number): HealthWatch => {
  const { report } = scope
  const failed = `Container ${each.container.name} failed`
  return {
    port,
    onHealth: (health) => show(scope, each, { ...each.view, ...health }),
    onUnhealthy: (probe, message) => report.recordEvent("Warning", "Unhealthy", `${probe} probe failed: ${message}`),
    onKilling: (probe) =>
      report.recordEvent("Normal", "Killing", `${failed} ${probe.toLowerCase()} probe, will be restarted`),
  }
}

const portWasTaken = ({ end, ring }: Ran): boolean =>
  end.kind === "ended" &&
  end.exit.code !== 0 &&
  end.endedAt - end.startedAt < stolenMs &&
  reportsPortTaken(ring.read({ tailLines: 80 }))

/** One run, with a second attempt at another port if another program had the first. Undefined once stopped. */
const runAtPort = async (server: Server, restartCount: number): Promise<Ran | undefined> => {
  const { scope, each } = server
  const resolved = await resolve(scope, each)
  if (resolved === undefined) return undefined
  const runAt = (at: number) =>
    runOnce(scope, each, { resolved: resolved(at), restartCount, health: healthWatch(server, at) })
  const port = await takePort(server)
  const ran = await runAt(port)
  if (!portWasTaken(ran) || scope.stop.aborted) return ran
  scope.calls.log.info("another program took the port; trying another one", { port })
  each.rings = each.rings.slice(0, -1)
  // the other program at the old port may have answered the probes
  show(scope, each, toWaiting(each.view, "ContainerCreating"))
  return runAt(await changePort(server))
}

const runUntilStopped = async (server: Server): Promise<void> => {
  const { scope, each } = server
  await takePort(server)
  show(scope, each, each.view)
  await runRepeatedly(scope, each, {
    run: (restarts) => runAtPort(server, restarts),
    isLast: (exitCode) => isLastRun(scope.pod.spec.restartPolicy, exitCode),
  })
}

/** Runs a Pod's server again and again until the Pod is to end, or the restart policy allows no further run. */
export const runServer = async (scope: PodScope, each: PodContainer): Promise<void> => {
  if (await isRefused(scope, each)) return
  const server: Server = { scope, each, port: undefined }
  try {
    await runUntilStopped(server)
  } finally {
    if (server.port !== undefined) scope.deps.ports.release(server.port)
  }
}
