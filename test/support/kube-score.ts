/** Findings of kube-score, and the answers that docs/security.md gives to them. */
import { z } from "zod"
import type { KubeObject } from "../../src/api/kinds/kind.ts"
import { desiredPod } from "../../src/operator/desired/pod.ts"
import { desiredService } from "../../src/operator/desired/service.ts"
import { anInstance } from "./build/instance.ts"
import { someSettings } from "./build/settings.ts"

/** kube-score's own report (`--output-format json`), as far as it is read. */
const Report = z.array(
  z.object({
    object_name: z.string(),
    checks: z.array(
      z.object({ check: z.object({ id: z.string() }), grade: z.number(), skipped: z.boolean() }).readonly(),
    ),
  }),
)

/** The grade of a check that has nothing to say; critical is 1, a warning 5. */
const clean = 10

/** What kube-score says of the manifests: how much it has looked at, and what it found. */
export type Verdict = {
  /** Checks that were made of all objects. */
  readonly made: number
  /** Each finding as `CHECK KIND/NAME`, e.g. `pod-networkpolicy Pod/files`; sorted, each once. */
  readonly findings: readonly string[]
}

/** Reads a report. Throws if it is none. */
export const readVerdict = (report: string): Verdict => {
  const checks = Report.parse(JSON.parse(report)).flatMap(({ object_name, checks }) => {
    const parts = object_name.split("/")
    return checks
      .filter(({ skipped }) => !skipped)
      .map(({ check, grade }) => ({ finding: `${check.id} ${parts[0]}/${parts.at(-1)}`, grade }))
  })
  const found = checks.filter(({ grade }) => grade < clean).map(({ finding }) => finding)
  return { made: checks.length, findings: [...new Set(found)].sort() }
}

/** The findings that a page answers: the first two cells of each row under its heading «Answered findings». */
export const answeredFindings = (page: string): readonly string[] => {
  const [, after = ""] = page.split(/^#+ Answered findings$/m)
  const [section = ""] = after.split(/^#/m)
  return section
    .split("\n")
    .flatMap((line) => {
      const [, check, objects = "", answer = ""] = line.split(/\s*\|\s*/)
      if (check === undefined || !/^`[a-z-]+`$/.test(check) || answer.length < 20) return []
      return [...objects.matchAll(/`([^`]+)`/g)].map(([, object]) => `${check.slice(1, -1)} ${object}`)
    })
    .sort()
}

/** Pod and Service as the operator makes them of a small instance: what stands in no manifest. */
export const instanceObjects = (namespace: string): readonly KubeObject[] => {
  const instance = anInstance({ name: "instance", metadata: { namespace } })
  return [
    desiredPod({ instance, name: instance.metadata.name, settings: someSettings() }),
    desiredService(instance, instance.metadata.name),
  ]
}
