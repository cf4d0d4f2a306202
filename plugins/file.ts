/** Secret resolver `file:PATH`: reads files of the gateway, e.g. of a mounted volume, below the configured folder. */
import { open, realpath } from "node:fs/promises"
import { isAbsolute, relative, resolve, sep } from "node:path"
import { z } from "zod"
import { definePlugin } from "../src/plugin/contract.ts"

const config = z.strictObject({
  /** Absolute path of the folder. Without it, no file can be read. */
  folder: z.string().refine(isAbsolute, "must be an absolute path").optional(),
})

/** Maximum size of a file in bytes: the maximum size of a value. */
const maxBytes = 64 * 1024

/** The real path of a reference's file, with links resolved. Throws if it is outside the folder. */
const locate = async (folder: string, reference: string): Promise<string> => {
  const [home, path] = await Promise.all([realpath(folder), realpath(resolve(folder, reference))])
  const inside = relative(home, path)
  if (inside === "" || inside === ".." || inside.startsWith(`..${sep}`) || isAbsolute(inside))
    throw new Error("the file is not in the folder")
  return path
}

const read = async (path: string): Promise<string> => {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(maxBytes + 1) })
    if (bytesRead > maxBytes) throw new Error(`the file is larger than ${maxBytes} bytes`)
    return buffer.toString("utf8", 0, bytesRead)
  } finally {
    await file.close()
  }
}

export default definePlugin({
  api: 1,
  name: "file",
  config,
  setup: ({ folder }) => ({
    secrets: {
      file: async ({ reference }) => {
        if (folder === undefined) throw new Error("the plugin's configuration names no folder")
        // a line break at the end of the file is not part of the value
        return { value: (await read(await locate(folder, reference))).replace(/\r?\n$/, "") }
      },
    },
  }),
})
