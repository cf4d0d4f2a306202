import { testServers } from "./pairs.ts"

testServers(["python1", "mounted", "python2", "fastmcp2", "fastmcp4"])
