/** What the expressions of monitoring/ ask for, and where they stand. */
import { readFileSync } from "node:fs"
import { parse } from "yaml"
import { repositoryFile } from "./reflow.ts"

/** An alert of monitoring/rules.yaml. */
export type Alert = {
  readonly alert: string
  readonly expr: string
  readonly for: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

type Panel = {
  readonly title: string
  readonly type: string
  readonly description?: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[]
}

/** Every alert, in order. */
export const readAlerts = (): readonly Alert[] => {
  const { spec } = parse(readFileSync(repositoryFile("monitoring/rules.yaml"), "utf8"))
  return (spec.groups as { rules: Alert[] }[]).flatMap(({ rules }) => rules)
}

/** Every panel of the board, rows too. */
export const readPanels = (): readonly Panel[] =>
  JSON.parse(readFileSync(repositoryFile("monitoring/dashboard.json"), "utf8")).panels

/** Every expression by where it stands, e.g. `alert ReflowNoLeader`. */
export const readExpressions = (): ReadonlyMap<string, string> =>
  new Map([
    ...readAlerts().map(({ alert, expr }) => [`alert ${alert}`, expr] as const),
    ...readPanels().flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }, index) => [`panel ${title} ${index + 1}`, expr] as const),
    ),
  ])

/** Words of PromQL that stand where a metric could. */
const words = new Set(["and", "or", "unless", "on", "ignoring", "offset", "bool", "by", "without", "vector", "time"])

/** What an expression asks for. */
export type Asked = { readonly metrics: readonly string[]; readonly labels: readonly string[] }

/** Metrics, and labels of them, that an expression names; whatever is no word or function of PromQL is one. */
export const askedBy = (expression: string): Asked => {
  const bare = expression.replaceAll(/"[^"]*"/g, '""')
  const matched = [...bare.matchAll(/\{([^}]*)\}/g)].flatMap(([, inside = ""]) => inside.match(/\w+(?=\s*[=!])/g) ?? [])
  const grouped = [...bare.matchAll(/\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g)].flatMap(
    ([, inside = ""]) => inside.match(/\w+/g) ?? [],
  )
  const rest = bare
    .replaceAll(/\{[^}]*\}|\[[^\]]*\]/g, " ")
    .replaceAll(/\b(?:by|without|on|ignoring)\s*\([^)]*\)/g, " ")
    .replaceAll(/\b\w+\s*\(/g, "(")
  const metrics = (rest.match(/\b[a-z_]\w*/gi) ?? []).filter((word) => !words.has(word))
  return { metrics: [...new Set(metrics)], labels: [...new Set([...matched, ...grouped])] }
}

/** The metric that a series belongs to: `x` of `x_bucket`, `x_count` and `x_sum`, if it is a histogram. */
export const metricOf = (series: string, isKnown: (name: string) => boolean): string =>
  isKnown(series) ? series : series.replace(/_(bucket|count|sum)$/, "")

/** The metrics of docs/operate.md with their labels; another test holds that table against the code. */
export const documentedMetrics = (): ReadonlyMap<string, readonly string[]> => {
  const [, after = ""] = readFileSync(repositoryFile("docs/operate.md"), "utf8").split("\n## Metrics\n")
  const rows = (after.split("\n## ")[0] ?? "").matchAll(/^\| `(\w+)` \|([^|]*)\|/gm)
  return new Map([...rows].map(([, name = "", labels = ""]) => [name, labels.match(/\w+/g) ?? []]))
}
