/** Secret resolver `env:NAME`: reads environment variables of the gateway, if the configuration allows the name. */
import { env } from "node:process"
import { z } from "zod"
import { definePlugin } from "../src/plugin/contract.ts"

const config = z.strictObject({
  /** Names that targets may use. Without this list, an author of targets could read the gateway's whole environment. */
  allow: z.array(z.string().min(1)).default([]),
})

export default definePlugin({
  api: 1,
  name: "env",
  config,
  setup: ({ allow }) => ({
    secrets: {
      env: ({ reference }) => {
        if (!allow.includes(reference)) throw new Error(`${reference.slice(0, 64)} is not in the plugin's list 'allow'`)
        const value = env[reference]
        if (value === undefined || value === "") throw new Error(`${reference} is not set in the gateway's environment`)
        return { value }
      },
    },
  }),
})
