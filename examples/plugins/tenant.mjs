// A subject-key strategy: all users of a tenant share an instance.
import { definePlugin, requireClaim } from "reflow-gateway/plugin"

export default definePlugin({
  api: 1,
  name: "tenant",
  setup: () => ({
    subjectKeys: {
      // with the issuer: two issuers may use the same tenant name for different people
      tenant: ({ identity }) => JSON.stringify([identity.issuer, requireClaim(identity, "tenant")]),
    },
  }),
})
