import manifest from "../package.json" with { type: "json" }

/** Version of the program, as package.json has it; a build carries that file's content inside. */
export const version: string = manifest.version
