import { expect, test } from "vitest"
import { bridgeHelp, parseBridge } from "../../../src/bridge/flags.ts"

test("--install names a folder, and needs no command", () => {
  expect(parseBridge(["--role", "bridge", "--install", "/reflow"])).toEqual({ kind: "install", folder: "/reflow" })
  expect(parseBridge(["--install=/a b"])).toEqual({ kind: "install", folder: "/a b" })
  expect(bridgeHelp).toContain("--install FOLDER")
})

test("--install of the server's own command is not the bridge's", () => {
  expect(parseBridge(["--", "npm", "--install", "/x"])).toMatchObject({
    kind: "run",
    options: { command: ["npm", "--install", "/x"] },
  })
})

test("--install without a folder, or of another role, is a mistake", () => {
  expect(() => parseBridge(["--install"])).toThrow(expect.objectContaining({ code: "UsageInvalid" }))
  expect(() => parseBridge(["--role", "dev", "--install", "/x"])).toThrow("--role can be given once")
})
