# A static binary that needs to write /var/lib/gateway only: run it with a read-only root.
FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -tags nomsgpack -ldflags '-s -w' -o /gateway ./gateway

# alpine and not scratch: busybox has the wget of the health check.
FROM alpine:3.22
RUN adduser -D -H -u 10001 gateway && install -d -o 10001 -g 10001 -m 0700 /var/lib/gateway
COPY --from=build /gateway /usr/local/bin/gateway
COPY gateway/deploy/gateway.yaml /etc/dermgate/gateway.yaml
ENV GATEWAY_MLLP=127.0.0.1:2575 GATEWAY_HTTP=127.0.0.1:8080 GATEWAY_ADMIN=127.0.0.1:8081
USER 10001:10001
VOLUME /var/lib/gateway
ENTRYPOINT ["/usr/local/bin/gateway"]
CMD ["serve", "-c", "/etc/dermgate/gateway.yaml"]
