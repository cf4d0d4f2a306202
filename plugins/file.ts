/** Secrets from files beside the gateway, such as a mounted volume: `file:PATH` below the folder that the configuration names. */
import { open, realpath } from "node:fs/promises"
import { isAbsolute, relative, resolve, sep } from "node:path"
import { z } from "zod"
import { definePlugin } from "../src/plugin/contract.ts"

const config = z.strictObject({
  /** Absolute path of the folder; without it no file can be read. */
  folder: z.string().refine(isAbsolute, "must be an absolute path").optional(),
})

/** Largest file, bytes: as large as a value may be. */
const maxBytes = 64 * 1024

/** The file behind a reference, links resolved, if it lies in the folder. */
const locate = async (folder: string, reference: string): Promise<string> => {
  const [home, path] = await Promise.all([realpath(folder), realpath(resolve(folder, reference))])
  const way = relative(home, path)
  if (way === "" || way === ".." || way.startsWith(`..${sep}`) || isAbsolute(way))
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
        // editors end files with a line break that is no part of the value
        return { value: (await read(await locate(folder, reference))).replace(/\r?\n$/, "") }
      },
    },
  }),
})
