// A die for everyone: nothing to remember, so one shared instance is enough.
import { randomInt } from "node:crypto"
import { McpServer } from "@modelcontextprotocol/server"
import { z } from "zod"
import { serve } from "./serve.mjs"

serve(
  () => {
    const server = new McpServer({ name: "dice", version: "1.0.0" })
    const inputSchema = z.object({ sides: z.int().min(2).max(1000).default(6) })
    server.registerTool("roll", { description: "Rolls a die.", inputSchema }, ({ sides }) => ({
      content: [{ type: "text", text: `rolled ${randomInt(1, sides + 1)} (process ${process.pid})` }],
    }))
    return server
  },
  { sessions: false },
)
