/** Rolls dice. It keeps no state, so its target is `shared` and `stateless`: one process for all users. */
import { randomInt } from "node:crypto"
import { McpServer } from "@modelcontextprotocol/server"
import { z } from "zod"
import { serveMcp } from "./serve.mjs"

const sides = z.int().min(2).max(1000).default(6).describe("Sides of the die.")

serveMcp(
  () => {
    const server = new McpServer({ name: "dice", version: "1.0.0" })
    server.registerTool("roll", { description: "Rolls a die.", inputSchema: z.object({ sides }) }, (die) => ({
      content: [{ type: "text", text: String(randomInt(1, die.sides + 1)) }],
    }))
    return server
  },
  { sessions: false },
)
