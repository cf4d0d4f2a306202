import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { expect, onTestFinished, test, vi } from "vitest"
import { startPeer } from "../../bench/peers/entrant.ts"
import { install } from "../../bench/peers/install.ts"
import type { Launch, Peer, Scene } from "../../bench/peers/peer.ts"
import { pins } from "../../bench/peers/pin.ts"

const script = resolve(import.meta.dirname, "../../bench/server.ts")
const server = { upstream: "http://127.0.0.1:1/mcp", server: script }
const signal = AbortSignal.timeout(20_000)

/** A peer that is the measured server itself, and the scenes in which it was started. */
const directPeer = (more: Partial<Launch> = {}) => {
  const scenes: Scene[] = []
  const peer: Peer = {
    name: "direct",
    pin: pins.mcpProxy,
    reaches: "HTTP",
    does: "nothing",
    launch: async (scene) => {
      scenes.push(scene)
      const { port, scratch } = scene
      return {
        process: { command: process.execPath, args: [script, "--port", String(port)], cwd: scratch, ready: { port } },
        url: `http://127.0.0.1:${port}/mcp`,
        ...more,
      }
    },
  }
  return { peer, scenes }
}

const answers = (port: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${port}/`, { signal }).then(
    () => true,
    () => false,
  )

test("a peer that was started has an open session; when it is stopped, its process and its folder are gone", async () => {
  const { peer, scenes } = directPeer()
  const entrant = await startPeer(peer, "/none", server, signal)
  const { port = 0, scratch = "" } = scenes[0] ?? {}
  expect(entrant.call.headers["mcp-session-id"]).toBeDefined()
  expect([await answers(port), existsSync(scratch)]).toEqual([true, true])
  await entrant.stop()
  expect([await answers(port), existsSync(scratch)]).toEqual([false, false])
})

test("of a peer that does not accept the server nothing is left", async () => {
  const { peer, scenes } = directPeer({ enrol: () => Promise.reject(new Error("its registry answered 500")) })
  await expect(startPeer(peer, "/none", server, signal)).rejects.toThrow("its registry answered 500")
  const { port = 0, scratch = "" } = scenes[0] ?? {}
  expect([await answers(port), existsSync(scratch)]).toEqual([false, false])
})

/** A cache folder for one test, and no programs to install with. */
const emptyCache = (): string => {
  const cache = mkdtempSync(join(tmpdir(), "reflow-test-"))
  vi.stubEnv("XDG_CACHE_HOME", cache)
  vi.stubEnv("PATH", join(cache, "no-programs"))
  onTestFinished(() => {
    vi.unstubAllEnvs()
    rmSync(cache, { recursive: true })
  })
  return join(cache, "reflow-bench-peers")
}

test("a peer that is installed already is not installed again", async () => {
  const folder = join(emptyCache(), `toolhive-${pins.toolhive.version}`)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, "complete"), "")
  await expect(install(pins.toolhive, signal)).resolves.toBe(folder)
})

test("an installation that was cut off is made again, and says which program is missing", async () => {
  const folder = join(emptyCache(), `toolhive-${pins.toolhive.version}`)
  mkdirSync(join(folder, "half"), { recursive: true })
  await expect(install(pins.toolhive, signal)).rejects.toThrow("go could not be started")
  expect(existsSync(join(folder, "half"))).toBe(false)
  await expect(install(pins.mcpProxy, signal)).rejects.toThrow("npm could not be started")
})
