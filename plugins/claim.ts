/** Subject keys from one claim of the caller's token: everybody with the same value shares an instance. */
import { z } from "zod"
import { defineHook, definePlugin, requireClaim } from "../src/plugin/contract.ts"

const settings = z.strictObject({
  /** Name or dotted path of the claim. */
  claim: z.string().min(1),
  /** True: equal values of two issuers are one sharer; default false. */
  across_issuers: z.boolean().default(false),
})

export default definePlugin({
  api: 1,
  name: "claim",
  setup: () => ({
    subjectKeys: {
      claim: defineHook(settings, ({ identity, config }) => {
        const value = requireClaim(identity, config.claim)
        // JSON, so that no value can look like another issuer's
        return JSON.stringify(config.across_issuers ? [value] : [identity.issuer, value])
      }),
    },
  }),
})
