/** A program that calls the tool `whoami` of a server, and prints its text. Argument: the URL; CALLER_TOKEN: the token. */
import { toolText } from "./modern.ts"

console.log(await toolText(process.argv[2] ?? "", process.env.CALLER_TOKEN ?? "", "whoami"))
