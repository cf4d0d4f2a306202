// A subject-key strategy: everybody of one tenant shares an instance.
import { definePlugin, requireClaim } from "reflow-gateway/plugin"

export default definePlugin({
  api: 1,
  name: "tenant",
  setup: () => ({
    subjectKeys: {
      // the issuer belongs to it: two issuers may use one tenant's name for different people
      tenant: ({ identity }) => JSON.stringify([identity.issuer, requireClaim(identity, "tenant")]),
    },
  }),
})
