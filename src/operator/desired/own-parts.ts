/**
 * What the operator itself adds to a Pod besides the server's container: volumes, their mounts, init containers. Pod
 * templates see the parts; what the operator put into the Pod needs no permission.
 */
import { isDeepStrictEqual } from "node:util"
import type { Container, Pod, PodSpec } from "../../api/kinds/pod.ts"

/** A volume of a Pod. */
export type Volume = NonNullable<PodSpec["volumes"]>[number]
/** Where a container sees a volume. */
export type Mount = NonNullable<Container["volumeMounts"]>[number]

/** Parts of a Pod that are the operator's own. */
export type OwnParts = {
  readonly volumes: readonly Volume[]
  /** Mounts of the server's container. */
  readonly mounts: readonly Mount[]
  /** In the order in which they run. */
  readonly initContainers: readonly Container[]
}

/** The parts of several purposes, in their order. */
export const joined = (...all: readonly (OwnParts | undefined)[]): OwnParts => ({
  volumes: all.flatMap((each) => each?.volumes ?? []),
  mounts: all.flatMap((each) => each?.mounts ?? []),
  initContainers: all.flatMap((each) => each?.initContainers ?? []),
})

/** The Pod with these parts. */
export const withParts = (pod: Pod, { volumes, mounts, initContainers }: OwnParts): Pod => {
  const { containers, volumes: others = [], initContainers: before = [], ...spec } = pod.spec
  const all = [...before, ...initContainers]
  return {
    ...pod,
    spec: {
      ...spec,
      ...(all.length === 0 ? {} : { initContainers: all }),
      containers: containers.map((each) => ({ ...each, volumeMounts: [...(each.volumeMounts ?? []), ...mounts] })),
      volumes: [...others, ...volumes],
    },
  }
}

/** True for equal values; a template may have written them anew, with the fields in another order. */
const isSame = isDeepStrictEqual

/** A list without our own parts of it. What a template made instead of a list stays, so that it is refused. */
const without = <T>(list: readonly T[] | undefined, parts: readonly unknown[]): readonly T[] | undefined =>
  Array.isArray(list) ? list.filter((each) => !parts.some((part) => isSame(each, part))) : list

/** The Pod without these parts, as far as the templates left them unchanged. */
export const withoutParts = (pod: Pod, parts: OwnParts): Pod => {
  const { initContainers, volumes, containers, ...spec } = pod.spec
  const others = without(initContainers, parts.initContainers)
  return {
    ...pod,
    spec: {
      ...spec,
      ...(others === undefined || others.length === 0 ? {} : { initContainers: others }),
      ...(volumes === undefined ? {} : { volumes: without(volumes, parts.volumes) ?? [] }),
      containers: containers.map(({ volumeMounts, ...container }) => ({
        ...container,
        ...(volumeMounts === undefined ? {} : { volumeMounts: without(volumeMounts, parts.mounts) ?? [] }),
      })),
    },
  }
}
