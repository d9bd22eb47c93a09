# The image contains only one static program. `make image` builds bin/tidewaiter and the image.
FROM scratch AS base
COPY deploy/image/ /
COPY bin/tidewaiter /tidewaiter
USER 65532:65532
VOLUME /data
EXPOSE 8080 8443
ENTRYPOINT ["/tidewaiter"]

# The proof of concept, which allows everybody everything: docker build --target dockerauth -t dockerauth .
FROM base AS dockerauth
COPY examples/dockerauth/tidewaiter.yaml /etc/tidewaiter/tidewaiter.yaml
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["/tidewaiter", "health", "--config", "/etc/tidewaiter/tidewaiter.yaml"]
CMD ["serve", "--config", "/etc/tidewaiter/tidewaiter.yaml"]

FROM base AS tidewaiter
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["/tidewaiter", "health", "--config", "/etc/tidewaiter/tidewaiter.yaml"]
CMD ["serve", "--config", "/etc/tidewaiter/tidewaiter.yaml"]
