import { testServers } from "./pairs.ts"

testServers(["typescript", "csharp", "go", "sessionless", "java", "accepted"])
