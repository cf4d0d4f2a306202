/** Subject-key strategy `claim`: callers with the same value of a claim in their token share an instance. */
import { z } from "zod"
import { defineHook, definePlugin, requireClaim } from "../src/plugin/contract.ts"

const name = z.string().min(1).max(1_024)

const settings = z.strictObject({
  /** Name of the claim, a dotted path to it, or a list of names as the path. */
  claim: z.union([name, z.array(name).min(1).max(16)]),
  /** True: equal values of different issuers share an instance; default false. */
  across_issuers: z.boolean().default(false),
})

export default definePlugin({
  api: 1,
  name: "claim",
  setup: () => ({
    subjectKeys: {
      claim: defineHook(settings, ({ identity, config }) => {
        const value = requireClaim(identity, config.claim)
        // as JSON, so that no issuer and value can give the same text as another issuer and value
        return JSON.stringify(config.across_issuers ? [value] : [identity.issuer, value])
      }),
    },
  }),
})
