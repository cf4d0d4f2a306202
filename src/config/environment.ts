import { type Assignment, type Layer, layerOf } from "./layer.ts"

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>

const prefix = "REFLOW_"

const toAssignment = (name: string, text: string): Assignment => ({
  path: name.slice(prefix.length).toLowerCase().split("__"),
  text,
  source: name,
})

/**
 * The layer of `REFLOW_SECTION__KEY` variables. Names without `__` are left alone: Kubernetes injects
 * `REFLOW_GATEWAY_PORT=tcp://…` into every Pod beside a Service called reflow-gateway.
 */
export const environmentLayer = (environment: Environment): Layer =>
  layerOf(
    Object.entries(environment)
      .filter(([name]) => name.startsWith(prefix) && name.includes("__"))
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, text]) => toAssignment(name, text ?? "")),
  )
