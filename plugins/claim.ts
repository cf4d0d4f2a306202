/** Subject keys from one claim of the caller's token: everybody with the same value shares an instance. */
import { z } from "zod"
import { defineHook, definePlugin, requireClaim } from "../src/plugin/contract.ts"

const name = z.string().min(1).max(1_024)

const settings = z.strictObject({
  /** The claim's name, names parted by dots, or a list of names. */
  claim: z.union([name, z.array(name).min(1).max(16)]),
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
