/** What monitoring/ asks Prometheus for is served by the two roles, as processes on a real API server. */
import { beforeAll, expect, test } from "vitest"
import { askedBy, documentedMetrics, metricOf, readExpressions } from "../support/promql.ts"
import { makeInstallation, type RoleProcess, startRole } from "./support/role.ts"

let operator: RoleProcess
let gateway: RoleProcess

beforeAll(async () => {
  const place = await makeInstallation("monitoring")
  const start = async (role: "operator" | "gateway") =>
    startRole(role, { kubeconfig: await place.kubeconfig(role), namespace: place.instances, until: "file" })
  operator = await start("operator")
  gateway = await start("gateway")
  await Promise.all([operator.line("leading"), gateway.line("serving")])
}, 120_000)

/** Series by metric: names of the labels of each. */
const served = async (role: RoleProcess): Promise<ReadonlyMap<string, readonly string[]>> => {
  const { status, text } = await role.probe("/metrics")
  expect(status).toBe(200)
  const found = new Map<string, string[]>()
  for (const [, name = ""] of text.matchAll(/^# TYPE (\w+)/gm)) found.set(name, [])
  for (const [, series = "", inside = ""] of text.matchAll(/^(\w+)\{([^}]*)\}/gm))
    found.get(metricOf(series, (name) => found.has(name)))?.push(...(inside.match(/\w+(?==")/g) ?? []))
  return found
}

test("every metric of the board and the alerts is served by the operator or the gateway", async () => {
  const metrics = new Map([...(await served(operator)), ...(await served(gateway))])
  const missing = [...readExpressions()].flatMap(([place, expression]) =>
    askedBy(expression)
      .metrics.filter((series) => !metrics.has(metricOf(series, (name) => metrics.has(name))))
      .map((series) => `${place}: ${series}`),
  )
  expect(missing).toEqual([])
})

test("what is served has the labels that docs/operate.md tells, and every metric of that page is served", async () => {
  const documented = documentedMetrics()
  const both = [await served(operator), await served(gateway)]
  for (const [name, labels] of documented) {
    const seen = both.flatMap((metrics) => metrics.get(name) ?? [])
    expect(
      [...new Set(seen)].filter((label) => label !== "le" && !labels.includes(label)),
      name,
    ).toEqual([])
    expect(
      both.some((metrics) => metrics.has(name)),
      name,
    ).toBe(true)
  }
})
