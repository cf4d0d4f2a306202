import { gzipSync } from "node:zlib"

/** A file of a tarball: its text, and its mode, 644 unless given. */
export type TarFile = string | { readonly text: string; readonly mode: number }

const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, "0")}\0`

/** A block of ustar (POSIX.1-2017, pax, «ustar Interchange Format») for a file. */
const headerOf = (path: string, size: number, mode: number): Buffer => {
  const block = Buffer.alloc(512)
  block.write(path, 0, 100)
  block.write(octal(mode, 8) + octal(0, 8) + octal(0, 8) + octal(size, 12) + octal(0, 12), 100)
  block.write("        0", 148)
  block.write("ustar\x0000", 257)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${octal(sum, 7)} `, 148)
  return block
}

/** A compressed tarball of these files, which are in the folder `package`, as npm wants it. */
export const makeTarball = (files: Readonly<Record<string, TarFile>>): Buffer => {
  const blocks = Object.entries(files).flatMap(([path, file]) => {
    const { text, mode } = typeof file === "string" ? { text: file, mode: 0o644 } : file
    const content = Buffer.from(text)
    const padding = Buffer.alloc((512 - (content.length % 512)) % 512)
    return [headerOf(`package/${path}`, content.length, mode), content, padding]
  })
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(1_024)]))
}
