/** The figures of a measurement as text. */
import { type Durations, type Figures, figuresOf, type Phase, phases } from "./phases.ts"

/** A whole measurement. */
export type Measured = {
  /** When it ended, RFC 3339. */
  readonly at: string
  readonly machine: string
  /** Version of the API server. */
  readonly kubernetes: string
  /** Load averages of 1, 5 and 15 minutes before it. */
  readonly load: readonly number[]
  /** True if the NetworkPolicies of manager/ were applied. */
  readonly policies: boolean
  /** The starts through the gateway. */
  readonly instance: readonly Durations[]
  readonly bare: readonly Durations[]
}

/** How much later than a bare Pod an instance may answer, at the 95th percentile, in milliseconds. */
export const budgetMs = 500

/** True if the budget is kept. */
export const isWithin = (instance: Figures, bare: Figures): boolean => instance.total.p95 <= bare.total.p95 + budgetMs

const ms = (value: number): string => `${value.toFixed(0)} ms`

/** Phases of gateway and operator, which a bare Pod does not have. */
const ours: readonly Phase[] = ["compose", "queue"]

const rowsOf = (instance: Figures, bare: Figures): readonly (readonly string[])[] => [
  ...(Object.entries(phases) as [Phase, string][]).map(([phase, what]) => {
    const [figure, reference] = [instance.phases[phase], bare.phases[phase]]
    const others = ours.includes(phase) ? ["", ""] : [ms(reference.median), ms(reference.p95)]
    return [`${phase}: ${what}`, ms(figure.median), ms(figure.p95), ...others]
  }),
  ["**first answer**", ms(instance.total.median), ms(instance.total.p95), ms(bare.total.median), ms(bare.total.p95)],
  ["longest", "", ms(instance.most), "", ms(bare.most)],
]

/** A Markdown table with the conditions under it. Pure. */
export const toTable = ({ at, machine, kubernetes, load, policies, ...starts }: Measured): string => {
  const [instance, bare] = [figuresOf(starts.instance), figuresOf(starts.bare)]
  const above = instance.total.p95 - bare.total.p95
  const compared = `${ms(Math.abs(above))} ${above < 0 ? "earlier" : "later"}`
  const verdict = isWithin(instance, bare) ? "within" : "over"
  return [
    "| phase | instance: median | 95% | bare Pod: median | 95% |",
    "|---|---|---|---|---|",
    ...rowsOf(instance, bare).map((row) => `| ${row.join(" | ")} |`),
    "",
    `At the 95th percentile an instance answers ${compared} than a bare Pod; budget ${ms(budgetMs)} later: ${verdict}.`,
    `${instance.runs} starts of each kind in turns, ${policies ? "with" : "without"} NetworkPolicies.`,
    `${at.slice(0, 10)}, ${machine}, Kubernetes ${kubernetes}, load average before ${load.map((each) => each.toFixed(1)).join(" ")}.`,
  ].join("\n")
}
