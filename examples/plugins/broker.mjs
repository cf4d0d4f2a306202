// A secret resolver: requests a short-lived token from a token broker, for the user, role or group of the instance.
import { definePlugin, noCredential } from "reflow-gateway/plugin"

const address = (config) => {
  const url = new URL(config?.url ?? "http://127.0.0.1:9999/")
  if (url.protocol !== "https:" && url.hostname !== "127.0.0.1") throw new Error("url must be https")
  return url
}

export default definePlugin({
  api: 1,
  name: "broker",
  setup: (config) => {
    const url = address(config)
    return {
      secrets: {
        // spec.secrets: [{ name: GITHUB_TOKEN, from: "broker:github" }]
        broker: async ({ reference, sharer }, { signal }) => {
          const query = new URLSearchParams({ for: sharer.subjectKey, what: reference })
          const response = await fetch(new URL(`?${query}`, url), { signal })
          // the user sees this message; the errors below are only logged
          if (response.status === 404) throw noCredential(`Connect your account first: ${new URL("/connect", url)}`)
          if (!response.ok) throw new Error(`the broker answered ${response.status}`)
          const { token, expires_in: seconds } = await response.json()
          return { value: token, expiresAt: Date.now() + seconds * 1000 }
        },
      },
    }
  },
})
