import { describeClusterContract } from "../support/contracts/cluster.ts"
import { makeNamespace, openCluster } from "./support/cluster.ts"

describeClusterContract("a real API server", async () => {
  const namespace = await makeNamespace("contract")
  const [cluster, other] = [openCluster("one"), openCluster("two")]
  return {
    cluster,
    other,
    namespace,
    close: async () => {
      await cluster.close()
      await other.close()
    },
  }
})
