import manifest from "../package.json" with { type: "json" }

/** Version of the program from package.json; a build contains the content of that file. */
export const version: string = manifest.version
