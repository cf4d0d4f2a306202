/**
 * Notes that live as long as this process. Its target is `per_user`: each user gets a process of their own, with their
 * own NOTES_TOKEN, so that nothing here has to ask who is calling.
 */
import { McpServer } from "@modelcontextprotocol/server"
import { z } from "zod"
import { serveMcp } from "./serve.mjs"

const notes = []
const token = process.env.NOTES_TOKEN

const text = (words) => ({ content: [{ type: "text", text: words }] })

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
  server.registerTool("whoami", { description: "Tells which server answers, and whether it has a credential." }, () =>
    text(
      `process ${process.pid}, ${token ? `NOTES_TOKEN begins with ${token.slice(0, 4)}` : "NOTES_TOKEN is not set"}`,
    ),
  )
  return server
})
