import type { KubeObject } from "../../../src/api/kinds/kind.ts"
import { type MCPTarget, mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import type { Change, ClusterPort, Reflection } from "../../../src/ports/cluster.ts"
import { targetOf } from "../../support/contracts/objects.ts"

/** What a reflection's changes add up to, and what was wrong with them. */
export type Mirror<T> = {
  /** The objects by name, by the changes alone. */
  readonly objects: ReadonlyMap<string, T>
  /** Changes that make no sense after those before: added twice, a wrong state before, deleted without having been. */
  readonly problems: readonly string[]
}

/** Adds up a reflection's changes from its beginning. */
export const mirror = <T extends KubeObject>(reflection: Reflection<T>): Mirror<T> => {
  const objects = new Map<string, T>()
  const problems: string[] = []
  reflection.subscribe(({ type, object, previous }: Change<T>) => {
    const { name, uid, resourceVersion } = object.metadata
    const before = objects.get(name)
    if (previous !== before) problems.push(`${type} ${name}: the state before is another one`)
    if (type === "modified" && before?.metadata.uid !== uid) problems.push(`modified ${name}: another uid`)
    if (type === "modified" && before?.metadata.resourceVersion === resourceVersion)
      problems.push(`modified ${name}: the same version twice`)
    if (type === "deleted") objects.delete(name)
    else objects.set(name, object)
  })
  return { objects, problems }
}

const brief = ({ metadata }: KubeObject): string => `${metadata.name} ${metadata.uid} ${metadata.resourceVersion}`

/** Objects as lines that can be compared, in order of their names. */
export const briefs = (objects: Iterable<KubeObject>): string[] => [...objects].map(brief).sort()

/** Writes that never stop until they are told to. */
export type Churn = {
  /** How many writes were made. */
  readonly writes: number
  stop(): Promise<void>
}

/** Creates, changes, deletes and makes anew the targets of a namespace, about 20 times in a second, by a fixed pattern. */
export const startChurn = (cluster: ClusterPort, namespace: string): Churn => {
  let going = true
  let writes = 0
  let seed = 1
  const next = (limit: number): number => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % limit
  }
  const write = async (): Promise<void> => {
    const ref = { namespace, name: `churn-${next(12)}` }
    const found: MCPTarget | undefined = await cluster.get(mcpTargetKind, ref)
    if (found === undefined) await cluster.create(mcpTargetKind, targetOf(ref))
    else if (next(3) === 0) await cluster.delete(mcpTargetKind, ref)
    else await cluster.mergePatch(mcpTargetKind, ref, { spec: { maxInstances: next(1_000) } })
    writes += 1
  }
  const run = async (): Promise<void> => {
    while (going) {
      await write()
      await new Promise((resolve) => setTimeout(resolve, 40))
    }
  }
  const running = run()
  return {
    get writes() {
      return writes
    },
    stop: async () => {
      going = false
      await running
    },
  }
}
