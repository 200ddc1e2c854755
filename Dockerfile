# One image with all parts: `docker build -t convoy .`; which part runs is the command: broker, simulator, aggregator,
# web-ui or demo.

FROM node:20-bookworm-slim AS node

FROM rust:1.95-bookworm AS build
# The page's TypeScript is built by npm as part of the cargo build.
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /convoy
COPY . .
# The target directory is a cache that later builds start from, so the binaries are copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/root/.npm \
    --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --release --locked \
        -p broker -p simulator -p aggregator -p web-ui -p demo \
    && mkdir /binaries \
    && for part in broker simulator aggregator web-ui demo; do \
        strip -o "/binaries/$part" "/target/release/$part"; \
    done

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent convoy \
    # A named volume takes over the owner of the folder that it is mounted on.
    && install -d -o convoy -g convoy /secrets
COPY --from=build /binaries/ /usr/local/bin/
COPY docker/healthy docker/make-users /usr/local/bin/
# The shipped maps and their licence, and the fleet's topic rules and access rules.
COPY data/*.osm.pbf data/LICENSE /usr/share/convoy/data/
COPY demo/broker.toml demo/access.csv /usr/share/convoy/
WORKDIR /usr/share/convoy
USER convoy
STOPSIGNAL SIGTERM
CMD ["demo"]
