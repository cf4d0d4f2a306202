import { z } from "zod"
import type { Identity } from "../../src/identity/identity.ts"
import {
  defineHook,
  definePlugin,
  denied,
  noCredential,
  type PluginIdentity,
  type Pod,
  requireClaim,
} from "../../src/plugin/contract.ts"

// Checked by `npm run typecheck`: a line under @ts-expect-error that compiles is an error.

export const typedConfig = definePlugin({
  api: 1,
  name: "tenant",
  config: z.object({ claim: z.string(), depth: z.number().default(1) }),
  setup: ({ claim, depth }, { log, clock, signal }) => {
    depth.toFixed()
    log.info("ready", { at: clock.now(), aborted: signal.aborted })
    // @ts-expect-error: the schema has no such key
    ;({ claim }).missing
    return {
      subjectKeys: { tenant: ({ identity }) => requireClaim(identity, claim) },
      secrets: {
        vault: async ({ reference, sharer }, { signal: stop, readSecret }) => {
          stop.throwIfAborted()
          return { value: `${reference}${sharer.subjectKey}${await readSecret("a", "b")}`, expiresAt: 1 }
        },
      },
      podTemplates: { same: ({ pod }) => pod },
    }
  },
})

export const reasons = definePlugin({
  api: 1,
  name: "reasons",
  setup: () => ({
    subjectKeys: {
      seat: ({ identity }) => {
        if (identity.groups.length === 0) throw denied("Ask sales for a seat.")
        return identity.subject
      },
    },
    secrets: {
      broker: async ({ sharer: { identity } }) => {
        if (identity === undefined) throw noCredential()
        return { value: requireClaim(identity, "tenant") }
      },
    },
  }),
})

export const typedHook = definePlugin({
  api: 1,
  name: "hooks",
  setup: () => ({
    subjectKeys: {
      template: defineHook(z.object({ template: z.string() }), ({ identity, config }) => {
        // @ts-expect-error: the schema has no such key
        config.missing
        return `${identity.issuer}/${config.template.trim()}`
      }),
    },
    podTemplates: {
      zone: defineHook(z.object({ zone: z.string() }), ({ pod, config }) => ({
        ...pod,
        spec: { ...pod.spec, nodeSelector: { zone: config.zone } },
      })),
    },
  }),
})

definePlugin({
  api: 1,
  name: "misspelt",
  config: z.object({ claim: z.string() }),
  // @ts-expect-error: the schema of the configuration has no such key
  setup: ({ clam }) => ({ subjectKeys: { tenant: ({ identity }) => requireClaim(identity, clam) } }),
})

// @ts-expect-error: a plugin says which contract it is written for
definePlugin({ name: "undated", setup: () => ({}) })

// @ts-expect-error: only contract 1 exists
definePlugin({ api: 2, name: "late", setup: () => ({}) })

// @ts-expect-error: a strategy yields text; a number would have to be spelled by someone
definePlugin({ api: 1, name: "number", setup: () => ({ subjectKeys: { number: () => 7 } }) })

// @ts-expect-error: the same for a strategy that answers later
definePlugin({ api: 1, name: "number", setup: () => ({ subjectKeys: { number: async () => 7 } }) })

// @ts-expect-error: undefined denies, null is a mistake
definePlugin({ api: 1, name: "none", setup: () => ({ subjectKeys: { none: () => null } }) })

// @ts-expect-error: pod templates are synchronous
definePlugin({ api: 1, name: "late", setup: () => ({ podTemplates: { late: async ({ pod }) => pod } }) })

const lateTemplate = defineHook(z.object({}), async ({ pod }: { readonly pod: Pod }) => pod)
// @ts-expect-error: with a schema of their own, too
definePlugin({ api: 1, name: "late", setup: () => ({ podTemplates: { late: lateTemplate } }) })

// @ts-expect-error: a value is text
definePlugin({ api: 1, name: "value", setup: () => ({ secrets: { value: () => ({ value: 7 }) } }) })

// @ts-expect-error: there are no such hooks
definePlugin({ api: 1, name: "unknown", setup: () => ({ subjectKey: { tenant: () => "acme" } }) })

definePlugin({
  api: 1,
  name: "mutating",
  setup: () => ({
    podTemplates: {
      mutating: ({ pod }) => {
        // @ts-expect-error: hooks get readonly data and return new values
        pod.spec.nodeName = "here"
        return pod
      },
    },
  }),
})

/** What the gateway knows of a caller can be handed to a plugin as it is. */
export const identityFits = (identity: Identity): PluginIdentity => identity
