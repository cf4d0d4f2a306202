import type { Shell } from "../commands.ts"
import { bashScript } from "./bash.ts"
import { zshScript } from "./zsh.ts"

const scripts: Readonly<Record<Shell, () => string>> = { bash: bashScript, zsh: zshScript }

/**
 * What makes a shell complete commands, flags, roles and the keys of the configuration. It has all of them in it, so that
 * a press of the key starts no program.
 */
export const completionScript = (shell: Shell): string => scripts[shell]()
