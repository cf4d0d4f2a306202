/** The plugins that come with the program, made with the same API as everyone's. */
import claim from "../../plugins/claim.ts"
import env from "../../plugins/env.ts"
import file from "../../plugins/file.ts"
import kubernetes from "../../plugins/kubernetes.ts"
import labels from "../../plugins/labels.ts"
import nodeSelector from "../../plugins/node-selector.ts"
import runtimeClass from "../../plugins/runtime-class.ts"
import template from "../../plugins/template.ts"
import vault from "../../plugins/vault.ts"

/** By name. All but those of {@link needsSettings} are there without being configured. */
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

/** Those that cannot work without a configuration: they are there once plugins[] names them. */
export const needsSettings: ReadonlySet<string> = new Set(["vault"])
