import { configSchema } from "../../../src/config/schema.ts"
import type { Settings } from "../../../src/operator/snapshot.ts"

/** The operator's settings: the configuration's defaults, and what a test changes. */
export const someSettings = (more: Partial<Settings> = {}): Settings => ({
  ...configSchema.parse({}).kubernetes,
  embedded: false,
  bridge: undefined,
  podTemplates: new Set(),
  template: (pod) => pod,
  pluginFaults: () => [],
  knownIssuers: undefined,
  ...more,
})
