package main

import (
	_ "cel.dev/cel-go/cel"
	_ "github.com/coreos/go-oidc/v3/oidc"
	_ "github.com/gabriel-vasile/mimetype"
	_ "github.com/gin-gonic/gin"
	_ "github.com/goccy/go-yaml"
	_ "github.com/golang-jwt/jwt/v5"

	_ "github.com/google/fhir/go/jsonformat"
	_ "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/resources/bundle_and_contained_resource_go_proto"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/google/uuid"
	_ "github.com/lenaten/hl7"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "github.com/redis/go-redis/v9"
	_ "github.com/spf13/cobra"
	_ "go.etcd.io/bbolt"
	_ "golang.org/x/image/draw"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/text/encoding/charmap"
	_ "golang.org/x/time/rate"
	_ "golang.org/x/tools/txtar"
)

func main() {}
