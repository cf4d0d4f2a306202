import { readFileSync } from "node:fs"
import { describe, expect, test } from "vitest"
import { parseAllDocuments } from "yaml"
import { createMetrics } from "../../src/telemetry/telemetry.ts"
import { askedBy, documentedMetrics, metricOf, readAlerts, readExpressions, readPanels } from "../support/promql.ts"
import { repositoryFile } from "../support/reflow.ts"

const own = documentedMetrics()
/** Of the process: those of Node and of Linux, which have no labels that we use. */
const ofProcess = new Set(
  [...(await createMetrics(true).metrics()).matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name),
)
const isKnown = (name: string) => own.has(name) || ofProcess.has(name)

/** Labels that Prometheus or a histogram adds. */
const added = ["namespace", "pod", "le"]

const page = readFileSync(repositoryFile("docs/operate.md"), "utf8")

describe("monitoring/", () => {
  const expressions = [...readExpressions()]

  test.each(expressions)("%s asks for metrics that there are, by labels that they have", (_, expression) => {
    const { metrics, labels } = askedBy(expression)
    expect(metrics.length).toBeGreaterThan(0)
    const names = metrics.map((series) => metricOf(series, isKnown))
    expect(names.filter((name) => !isKnown(name))).toEqual([])
    const known = [...added, ...names.flatMap((name) => own.get(name) ?? [])]
    expect(labels.filter((label) => !known.includes(label))).toEqual([])
  })

  test("asks on the board or in an alert for every metric of the operator and of requests, but for times that others tell", () => {
    const asked = new Set(
      expressions.flatMap(([, each]) => askedBy(each).metrics.map((series) => metricOf(series, isKnown))),
    )
    const unused = [...own.keys()].filter((name) => !asked.has(name))
    expect(unused.toSorted()).toEqual([
      "reflow_plugin_call_seconds",
      "workqueue_adds_total",
      "workqueue_retries_total",
      "workqueue_work_duration_seconds",
    ])
  })
})

describe("the check", () => {
  test("finds what an expression asks for", () => {
    const expression =
      'histogram_quantile(0.95, sum by (le, step) (rate(a_bucket{x=~"b.*", y!="c"}[5m]))) > 30 and on (z) time() - d > 1e3'
    expect(askedBy(expression)).toEqual({ metrics: ["a_bucket", "d"], labels: ["x", "y", "le", "step", "z"] })
    expect(askedBy("absent(leader == 1) or vector(0)").metrics).toEqual(["leader"])
  })
})

describe("alerts", () => {
  const alerts = readAlerts()

  test("have names of their own, a severity, a time, and say what is so in sentences", () => {
    expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length)
    for (const { alert, labels, annotations, ...rule } of alerts) {
      expect(alert).toMatch(/^Reflow([A-Z][a-z]+)+$/)
      expect(rule.for).toMatch(/^\d+m$/)
      expect(["critical", "warning"]).toContain(labels.severity)
      for (const text of [annotations.summary, annotations.description]) expect(text, alert).toMatch(/\.$|\}\}\.$/)
      const templates = [...`${annotations.summary}`.matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label)
      for (const label of templates) expect(askedBy(rule.expr).labels, alert).toContain(label)
    }
  })

  test.each(alerts)(
    "$alert leads to its part of docs/operate.md, which shows its expression and what to do",
    (rule) => {
      const [link = "", anchor] = rule.annotations.runbook_url?.split("#") ?? []
      expect(link).toMatch(/^https:\/\/\S+\/docs\/operate\.md$/)
      expect(anchor).toBe(rule.alert.toLowerCase())
      const [, part = ""] = page.split(`\n### ${rule.alert}\n`)
      const [text = "", shown = "", todo = ""] = (part.split(/\n##/)[0] ?? "").split(/```(?:promql)?\n/)
      expect(text.toLowerCase()).toContain(`${rule.labels.severity}, after ${rule.for}: `)
      expect(shown.trim()).toBe(rule.expr.replaceAll(/\s+/g, " "))
      expect(todo.trim().length).toBeGreaterThan(50)
    },
  )

  test("are all there is under Alerts", () => {
    const [, part = ""] = page.split("\n## Alerts\n")
    const titles = [...(part.split("\n## ")[0] ?? "").matchAll(/^### (\w+)$/gm)].map(([, title]) => title)
    expect(titles).toEqual(alerts.map(({ alert }) => alert))
  })
})

describe("the board", () => {
  const panels = readPanels()

  test("has panels that say what they show, and lie side by side without covering each other", () => {
    const drawn = panels.filter(({ type }) => type !== "row")
    expect(drawn.length).toBeGreaterThan(20)
    for (const { title, description } of drawn) expect(description, title).toMatch(/\.$/)
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`),
    )
    expect(new Set(cells).size).toBe(cells.length)
    expect(Math.max(...panels.map(({ gridPos: { x, w } }) => x + w))).toBeLessThanOrEqual(24)
  })

  test("names in each legend only labels by which it groups", () => {
    for (const { title, targets = [] } of panels)
      for (const { expr, legendFormat } of targets)
        for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
          expect(askedBy(expr).labels, title).toContain(label)
  })
})

test("monitoring/pods.yaml selects the Pods of both Deployments, and a port that they have", () => {
  const read = (path: string) =>
    parseAllDocuments(readFileSync(repositoryFile(path), "utf8")).map((document) => document.toJS())
  const [{ metadata, spec }] = read("monitoring/pods.yaml")
  const workloads = [...read("manager/20-operator.yaml"), ...read("manager/30-gateway.yaml")].filter(
    ({ kind }) => kind === "Deployment",
  )
  expect(workloads).toHaveLength(2)
  for (const workload of workloads) {
    expect(workload.metadata.namespace).toBe(metadata.namespace)
    expect(workload.spec.template.metadata.labels).toMatchObject(spec.selector.matchLabels)
    const ports = workload.spec.template.spec.containers[0].ports.map(({ name }: { name: string }) => name)
    expect(ports).toContain(spec.podMetricsEndpoints[0].port)
  }
})
