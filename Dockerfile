# syntax=docker/dockerfile:1
#
# The images of this repository:
#   docker build -t ghcr.io/reflow/reflow-gateway:0.1.0 .
#   docker build -t ghcr.io/reflow/example-notes:1.0.0 --target example-notes .
#   docker build -t ghcr.io/reflow/example-dice:1.0.0 --target example-dice .
#
# A release names both base images by digest, which only their registries tell (CONTRIBUTING.md, «A release»):
#   docker build --build-arg NODE_IMAGE=node@sha256:… --build-arg BASE_IMAGE=gcr.io/distroless/cc-debian12@sha256:… .

ARG NODE_IMAGE=node:24-bookworm-slim
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12

# Any Node that can install packages: these bring along the Node 26 that builds, and that goes into the images.
FROM ${NODE_IMAGE} AS packages
RUN apt-get update \
 && apt-get install -y --no-install-recommends libatomic1 \
 && rm -rf /var/lib/apt/lists/* \
 && cp -L /usr/lib/*-linux-gnu/libatomic.so.1 /libatomic.so.1
WORKDIR /src
COPY package.json package-lock.json build.install.ts ./
RUN npm ci --no-fund --no-audit

FROM packages AS build
COPY . .
RUN npm run build -- executable && npm run build -- libraries && npm run build -- notices
# The program is in /bridge: Pods of stdio servers mount that folder, or copy it, whatever their own image has.
RUN mkdir -p /out/bridge /out/usr/local/bin \
 && cp -r dist/libraries/. /out/bridge && mv dist/reflow /out/bridge/reflow \
 && ln -s /bridge/reflow /out/usr/local/bin/reflow

FROM packages AS servers
COPY examples/servers examples/servers
RUN for name in notes dice; do \
      npx esbuild "examples/servers/$name.mjs" --bundle --platform=node --format=esm --target=node26 \
        --outfile="/out/$name.mjs"; \
    done

# glibc, libgcc, libstdc++ and CA certificates, no shell. Node 26 links libatomic too.
FROM ${BASE_IMAGE} AS base
COPY --from=packages /libatomic.so.1 /usr/lib/libatomic.so.1
USER 65532:65532

FROM base AS example
COPY --from=packages /src/node_modules/node/bin/node /usr/local/bin/node
WORKDIR /app
ENTRYPOINT ["/usr/local/bin/node"]

# The path is the one that the target's command names, which on a laptop runs the same file.
FROM example AS example-notes
COPY --from=servers /out/notes.mjs examples/servers/notes.mjs
CMD ["examples/servers/notes.mjs"]

FROM example AS example-dice
COPY --from=servers /out/dice.mjs examples/servers/dice.mjs
CMD ["examples/servers/dice.mjs"]

# Last, so that it is what `docker build .` makes.
FROM base AS gateway
COPY --from=build /src/dist/THIRD-PARTY.txt /src/dist/reflow.cdx.json /usr/share/doc/reflow/
COPY --from=build /out/ /
ENTRYPOINT ["/usr/local/bin/reflow"]
