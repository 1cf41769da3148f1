# Build.
FROM rust:1-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake g++ make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package portcullis

# Run: what the binary links to, and not as root.
FROM debian:bookworm-slim
RUN useradd --system --no-create-home --shell /usr/sbin/nologin portcullis
RUN install --directory --owner portcullis --mode 0700 /var/lib/portcullis
COPY --from=build /src/target/release/portcullis /usr/local/bin/portcullis
COPY --from=build /src/rules /etc/portcullis/rules
COPY --from=build /src/examples/docker/portcullis.toml /etc/portcullis/portcullis.toml
USER portcullis
VOLUME /var/lib/portcullis
EXPOSE 8080 8443 9090
ENTRYPOINT ["/usr/local/bin/portcullis"]
CMD ["run", "--config", "/etc/portcullis/portcullis.toml"]
