/**
 * Keeps notes in memory until this process ends. Its target is `per_user`: each user has their own process with their own
 * NOTES_TOKEN, so this server does not need to know who is calling.
 */
import { McpServer } from "@modelcontextprotocol/server"
import { z } from "zod"
import { serveMcp } from "./serve.mjs"

const notes = []
const token = process.env.NOTES_TOKEN

const text = (content) => ({ content: [{ type: "text", text: content }] })

serveMcp(() => {
  const server = new McpServer({ name: "notes", version: "1.0.0" })
  server.registerTool(
    "add_note",
    { description: "Keeps a note.", inputSchema: z.object({ text: z.string().describe("The note.") }) },
    (note) => text(`${notes.push(note.text)} notes kept`),
  )
  server.registerTool("list_notes", { description: "Lists the notes." }, () =>
    text(notes.map((note, index) => `${index + 1}. ${note}`).join("\n") || "no notes yet"),
  )
  server.registerTool("whoami", { description: "Shows which process answers, and whether it has a credential." }, () =>
    text(
      `process ${process.pid}, ${token ? `NOTES_TOKEN begins with ${token.slice(0, 4)}` : "NOTES_TOKEN is not set"}`,
    ),
  )
  return server
})
