import { describe, expect, test } from "vitest"
import { answeredFindings, instanceObjects, readVerdict } from "../support/kube-score.ts"

const check = (id: string, grade: number, skipped = false) => ({ check: { id }, grade, skipped })

describe("the verdict of kube-score", () => {
  const report = JSON.stringify([
    {
      object_name: "Deployment/apps/v1/reflow-system/reflow-gateway",
      checks: [check("container-resources", 1), check("pod-probes", 10), check("skipped", 0, true)],
    },
    { object_name: "Pod/v1/reflow/instance", checks: [check("pod-probes", 5), check("pod-probes", 5)] },
  ])

  test("has critical findings and warnings, each once, and counts the checks that were made", () => {
    expect(readVerdict(report)).toEqual({
      made: 4,
      findings: ["container-resources Deployment/reflow-gateway", "pod-probes Pod/instance"],
    })
  })

  test("is none if the report says nothing of checks", () => {
    for (const text of ["", "null", '"go: not found"', '[{"object_name":"a"}]'])
      expect(() => readVerdict(text)).toThrow()
  })
})

test("an answer has a check, objects and a reason, under its heading alone", () => {
  const row = (check: string, objects: string, why: string) => `| \`${check}\` | ${objects} | ${why} |\n`
  const why = "because it would do harm."
  const page = [
    `# Other\n\n${row("early", "`Pod/a`", why)}`,
    `## Answered findings\n\n${row("one", "`Pod/a`, `Pod/b`", why)}${row("two", "`Pod/a`", "so")}`,
    `## More\n\n${row("late", "`Pod/a`", why)}`,
  ].join("\n")
  expect(answeredFindings(page)).toEqual(["one Pod/a", "one Pod/b"])
})

test("Pod and Service of an instance are looked at as the operator makes them", () => {
  const [pod, service] = instanceObjects("reflow")
  expect(pod).toMatchObject({ kind: "Pod", metadata: { namespace: "reflow" } })
  expect(service).toMatchObject({ kind: "Service", metadata: { namespace: "reflow" } })
})
