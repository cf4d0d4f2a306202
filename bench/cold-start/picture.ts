/** Draws cold starts as an SVG that needs no fonts and no scripts, and can be read on light and on dark pages. */
import { type Figures, type Phase, phases, totalOf } from "./phases.ts"

/** What is drawn: the starts through the gateway, and those of bare Pods. */
export type Compared = { readonly instance: Figures; readonly bare: Figures }

/** Who works in each phase, and on what. */
const workers: Readonly<Record<Phase, string>> = {
  compose: "gateway: Secret, MCPInstance",
  queue: "operator: until it begins",
  create: "operator: Service, Pod",
  schedule: "scheduler",
  pull: "node: volumes, sandbox, image",
  start: "node: container",
  address: "node: reports the address",
  ready: "server: accepts a connection",
  "first byte": "request and answer",
}

/** Phases that a bare Pod does not have. */
const ours: readonly Phase[] = ["compose", "queue"]

/** Colours of a phase on light and on dark pages. */
const colours: Readonly<Record<Phase, readonly [light: string, dark: string]>> = {
  compose: ["#0969da", "#4493f8"],
  queue: ["#bc4c00", "#f0883e"],
  create: ["#e16f24", "#ffa657"],
  schedule: ["#1a7f37", "#2ea043"],
  pull: ["#2da44e", "#3fb950"],
  start: ["#6fdd8b", "#7ee787"],
  address: ["#8c959f", "#6e7681"],
  ready: ["#8250df", "#a371f7"],
  "first byte": ["#bf3989", "#f778ba"],
}

const names = Object.keys(phases) as readonly Phase[]
const classOf = (phase: Phase): string => phase.replace(" ", "-")

const fills = (scheme: 0 | 1): string =>
  names.map((phase) => `.${classOf(phase)}{fill:${colours[phase][scheme]}}`).join("")

const style = [
  "text{font:15px -apple-system,'Segoe UI','Noto Sans',Helvetica,Arial,sans-serif;fill:#1f2328}",
  ".title{font-size:18px;font-weight:600}.strong{font-weight:600}.small{font-size:13px;fill:#59636e}.end{text-anchor:end}",
  `.middle{text-anchor:middle}.page{fill:#ffffff}.grid{stroke:#d1d9e0}.most{stroke:#1f2328;stroke-width:2}${fills(0)}`,
  "@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.small{fill:#9198a1}.page{fill:#0d1117}.grid{stroke:#3d444d}",
  `.most{stroke:#f0f6fc}${fills(1)}}`,
].join("")

const width = 880
/** The time axis: its left and right end in pixels. */
const [left, right] = [150, 850]
const barHeight = 34
/** Vertical places of the two bars and of the first line of the legend. */
const [firstBar, secondBar, legend] = [66, 124, 226]

type Scale = (ms: number) => number

/** A round step between two ticks that gives four to nine of them. */
const stepOf = (most: number): number => [50, 100, 200, 250, 500, 1_000, 2_000].find((step) => most / step < 9) ?? 5_000

const px = (value: number): string => value.toFixed(1)

const axis = (most: number, at: Scale): readonly string[] => {
  const step = stepOf(most)
  const ticks = Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step)
  const bottom = secondBar + barHeight + 10
  return ticks.flatMap((ms) => [
    `<line class="grid" x1="${px(at(ms))}" x2="${px(at(ms))}" y1="${firstBar - 10}" y2="${bottom}"/>`,
    `<text class="small middle" x="${px(at(ms))}" y="${bottom + 18}">${ms}${ms === 0 ? " ms" : ""}</text>`,
  ])
}

/** One bar: its phases side by side, and a mark where 95 of 100 starts had their answer. */
const bar = ({ means, total }: Figures, label: readonly [string, string], y: number, at: Scale): readonly string[] => {
  let since = 0
  const parts = names.map((phase) => {
    const [x, end] = [at(since), at(since + means[phase])]
    since += means[phase]
    const title = `<title>${phase}: ${means[phase].toFixed(0)} ms</title>`
    return `<rect class="${classOf(phase)}" x="${px(x)}" y="${y}" width="${px(end - x)}" height="${barHeight}">${title}</rect>`
  })
  const mark = at(total.p95)
  return [
    `<text class="strong end" x="${left - 12}" y="${y + 15}">${label[0]}</text>`,
    `<text class="small end" x="${left - 12}" y="${y + 31}">${label[1]}</text>`,
    ...parts,
    `<line class="most" x1="${px(mark)}" x2="${px(mark)}" y1="${y - 4}" y2="${y + barHeight + 4}"/>`,
  ]
}

/** The phases with their means: three columns, filled from top to bottom. */
const legendOf = ({ instance, bare }: Compared): readonly string[] =>
  names.flatMap((phase, index) => {
    const [x, y] = [24 + Math.floor(index / 3) * 284, legend + (index % 3) * 42]
    const [figure, reference] = [instance.means[phase].toFixed(0), bare.means[phase].toFixed(0)]
    return [
      `<rect class="${classOf(phase)}" x="${x}" y="${y - 13}" width="16" height="16" rx="3"/>`,
      `<text x="${x + 26}" y="${y}"><tspan class="strong">${phase}</tspan> ${figure} ms${ours.includes(phase) ? "" : ` / ${reference} ms`}</text>`,
      `<text class="small" x="${x + 26}" y="${y + 17}">${workers[phase]}</text>`,
    ]
  })

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(2)} s`

/** The picture as the text of an SVG file. Pure. */
export const draw = ({ instance, bare }: Compared): string => {
  const most = 1.03 * Math.max(...[instance, bare].flatMap(({ means, total }) => [totalOf(means), total.p95]))
  const at: Scale = (ms) => left + (ms / most) * (right - left)
  const height = legend + 3 * 42 + 28
  const meanOf = (figures: Figures) => `mean ${seconds(totalOf(figures.means))}`
  const summary = `an instance ${seconds(totalOf(instance.means))}, a bare Pod ${seconds(totalOf(bare.means))}`
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title">`,
    `<title id="title">Time to the first answer: ${summary}</title>`,
    `<style>${style}</style>`,
    `<rect class="page" width="${width}" height="${height}" rx="8"/>`,
    `<text class="title" x="24" y="34">From the first request to the first answer</text>`,
    `<text class="small end" x="${right}" y="34">mean of ${instance.runs} starts each; line: 95% answered</text>`,
    ...axis(most, at),
    ...bar(instance, ["instance", meanOf(instance)], firstBar, at),
    ...bar(bare, ["bare Pod", meanOf(bare)], secondBar, at),
    ...legendOf({ instance, bare }),
    `<text class="small" x="24" y="${height - 16}">Two figures: instance / bare Pod. The image is present on the node.</text>`,
    "</svg>",
  ].join("\n")}\n`
}
