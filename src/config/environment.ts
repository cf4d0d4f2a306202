import { leafKeys } from "./keys.ts"
import { type Assignment, type Layer, layerOf } from "./layer.ts"

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>

const prefix = "REFLOW_"

const keyOf = (name: string): string => name.slice(prefix.length).toLowerCase()

const toAssignment = (name: string, text: string): Assignment => ({
  path: keyOf(name).split("__"),
  text,
  source: name,
})

/**
 * The layer of `REFLOW_SECTION__KEY` variables, and of `REFLOW_PLUGINS`, whose key is in no section. Other names without
 * `__` are left alone: Kubernetes injects `REFLOW_GATEWAY_PORT=tcp://…` into every Pod beside a Service called
 * reflow-gateway.
 */
export const environmentLayer = (environment: Environment): Layer =>
  layerOf(
    Object.entries(environment)
      .filter(([name]) => name.startsWith(prefix) && (name.includes("__") || leafKeys.has(keyOf(name))))
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, text]) => toAssignment(name, text ?? "")),
  )
