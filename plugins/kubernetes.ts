/**
 * Secret resolver `kubernetes:NAME/KEY`: reads a key of another Secret in the namespace of the instances, if
 * plugins[].secrets allows the name.
 */
import { definePlugin } from "../src/plugin/contract.ts"

export default definePlugin({
  api: 1,
  name: "kubernetes",
  setup: () => ({
    secrets: {
      kubernetes: async ({ reference }, { readSecret }) => {
        const [, name = "", key = ""] = /^([a-z0-9][-.a-z0-9]*)\/([-._A-Za-z0-9]+)$/.exec(reference) ?? []
        if (name === "") throw new Error("a reference must be NAME/KEY of a Secret")
        const value = await readSecret(name, key)
        if (value === undefined) throw new Error(`there is no key ${key} in the Secret ${name}`)
        return { value }
      },
    },
  }),
})
