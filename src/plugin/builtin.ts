/** The built-in plugins. They use the public plugin API only. */
import claim from "../../plugins/claim.ts"
import env from "../../plugins/env.ts"
import file from "../../plugins/file.ts"
import kubernetes from "../../plugins/kubernetes.ts"
import labels from "../../plugins/labels.ts"
import nodeSelector from "../../plugins/node-selector.ts"
import runtimeClass from "../../plugins/runtime-class.ts"
import template from "../../plugins/template.ts"
import vault from "../../plugins/vault.ts"

/** The built-in plugins, by name. All except those of {@link needsSettings} are loaded without being configured. */
export const builtinPlugins: Readonly<Record<string, unknown>> = {
  claim,
  template,
  kubernetes,
  env,
  file,
  vault,
  "node-selector": nodeSelector,
  "runtime-class": runtimeClass,
  labels,
}

/** Names of built-in plugins that need a configuration: they are loaded only if plugins[] names them. */
export const needsSettings: ReadonlySet<string> = new Set(["vault"])
