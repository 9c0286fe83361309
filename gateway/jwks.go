package main

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/spf13/cobra"
)

// publish serves the public keys of the applications, which the NHS API platform verifies their signatures with. The key
// files are read at each call: what is in them now is what is published.
func (a *app) publish(r gin.IRouter) {
	r.GET("/.well-known/jwks.json", func(c *gin.Context) {
		set, err := jwks(a.cfg)
		if err != nil {
			a.log.Error("the JWK Set cannot be made", "error", err)
			c.Status(http.StatusInternalServerError)
			return
		}
		c.Header("Cache-Control", "public, max-age=300")
		c.Data(http.StatusOK, "application/jwk-set+json", set)
	})
}

func jwksVerb(std stdio) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "jwks -c FILE",
		Short: "the public keys of the configured applications as a JWK Set, to be registered",
		Long: "Print the public keys of all auth.key of a configuration as a JWK Set (RFC 7517), which is what the gateway serves at\n" +
			"/.well-known/jwks.json: for where the token service is given the set rather than its address.",
		Example: "  gateway jwks -c gateway.yaml > jwks.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := load(file)
			if err != nil {
				return faults(std, err)
			}
			set, err := jwks(cfg)
			if err == nil {
				_, err = std.out.Write(append(set, '\n'))
			}
			return err
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration file")
	return c
}
