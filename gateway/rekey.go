package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/adapters/blob"
	"github.com/dermgate/dermgate/gateway/api"
	"github.com/dermgate/dermgate/gateway/observe"
)

// rekeyVerb ends a rotation of the photo key.
func rekeyVerb(std stdio) *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "rekey -c FILE",
		Short: "seal every photo for the configured key, and retire the old ones",
		Long: "Wrap the key of every photo anew for photos.key_file, and retire photos.old_key_files: after it they open nothing and may be\n" +
			"destroyed. Gateways go on meanwhile. It may be stopped and begun again; what is done stays done. Objects that no key\n" +
			"opens are named and left as they are (exit 1). How to rotate: docs/photos.md, Keys of the photos.",
		Example: "  gateway rekey -c gateway.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(file)
			if err != nil {
				return faults(std, err)
			}
			photos, err := openPhotos(cmd.Context(), cfg)
			if err != nil {
				return faults(std, err)
			}
			defer photos.Close()
			audit, err := observe.OpenAudit(auditLog(cfg), time.Now)
			if err != nil {
				return err
			}
			defer audit.Close()
			who := observe.Entry{Who: api.LocalIdentity().Name, Verb: "rekey", What: "photos", Why: "to key " + photos.KeyID()}
			if err := audit.Record(cmd.Context(), who); err != nil {
				return err
			}
			last := time.Now()
			did, err := photos.Rekey(cmd.Context(), func(n int) {
				if time.Since(last) > 5*time.Second {
					last = time.Now()
					fmt.Fprintf(std.err, "%d objects\n", n)
				}
			})
			if err != nil {
				fmt.Fprintf(std.err, "stopped after %d of the objects were sealed anew: run it again\n", did.Rewrapped)
				return err
			}
			return tellRekeyed(std, did, asJSON)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration file")
	c.Flags().BoolVar(&asJSON, "json", false, `{"objects", "rewrapped", "retired": [ids of keys], "damaged": [names of objects]}`)
	_ = c.MarkFlagRequired("config")
	return c
}

func tellRekeyed(std stdio, did blob.Rekeyed, asJSON bool) error {
	if asJSON {
		if err := printJSON(std.out, did); err != nil {
			return err
		}
	} else {
		retired := "none"
		if len(did.Retired) > 0 {
			retired = strings.Join(did.Retired, ", ")
		}
		fmt.Fprintf(std.out, "%d objects, %d of them sealed anew; keys retired: %s\n", did.Objects, did.Rewrapped, retired)
		for _, name := range did.Damaged {
			fmt.Fprintln(std.out, "damaged:", name)
		}
	}
	if len(did.Damaged) > 0 {
		return errFound
	}
	return nil
}
