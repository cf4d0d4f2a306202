// Notes of one user: state in the process, so every user needs an instance of their own.
import { McpServer } from "@modelcontextprotocol/server"
import { z } from "zod"
import { serve } from "./serve.mjs"

const notes = []
const text = (value) => ({ content: [{ type: "text", text: value }] })

serve(() => {
  const server = new McpServer({ name: "notes", version: "1.0.0" })
  server.registerTool(
    "add_note",
    { description: "Keeps a note.", inputSchema: z.object({ note: z.string() }) },
    ({ note }) => {
      notes.push(note)
      return text(`kept note ${notes.length}`)
    },
  )
  server.registerTool("list_notes", { description: "Lists the notes." }, () =>
    text(notes.map((note, index) => `${index + 1}. ${note}`).join("\n") || "no notes yet"),
  )
  server.registerTool("whoami", { description: "Tells which process answers, and with which credential." }, () => {
    const token = process.env.NOTES_TOKEN
    return text(`process ${process.pid}, ${token ? `credential ${token.slice(0, 4)}…` : "no credential yet"}`)
  })
  return server
})
