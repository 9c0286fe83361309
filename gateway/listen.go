package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/gateway/observe"
)

func listenVerb(std stdio) *cobra.Command {
	var address, code, out string
	var delay time.Duration
	var closeAfter int
	c := &cobra.Command{
		Use:     "listen --mllp ADDR",
		Short:   "receive HL7 v2 messages, and misbehave when asked to",
		Example: "  gateway listen --mllp 127.0.0.1:2580 --out ./received\n  gateway listen --mllp 127.0.0.1:2580 --ack none --close-after 3",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains([]string{"AA", "AE", "AR", "none"}, code) {
				return errUsage{fmt.Errorf("--ack %q: want AA, AE, AR or none", code)}
			}
			if out != "" {
				if err := os.MkdirAll(out, 0o700); err != nil {
					return err
				}
			}
			log := observe.NewLogger(std.err, slog.LevelInfo)
			server := &mllp.Server{Name: "listen", Addr: address, CloseAfter: closeAfter, Log: log}
			if err := server.Listen(); err != nil {
				return err
			}
			fmt.Fprintf(std.err, "listening on mllp://%s\n", server.Address())
			receiver := &mllp.Receiver{Code: code, Delay: delay, Handle: keepReceived(std, out)}
			return server.Serve(cmd.Context(), receiver.Accept)
		},
	}
	c.Flags().StringVar(&address, "mllp", "127.0.0.1:2580", "where to listen")
	c.Flags().StringVar(&code, "ack", "AA", "what to answer: AA, AE, AR or none")
	c.Flags().DurationVar(&delay, "delay", 0, "wait before answering")
	c.Flags().IntVar(&closeAfter, "close-after", 0, "close a connection after so many messages (0: never)")
	c.Flags().StringVar(&out, "out", "", "folder to write each message into (default: print it)")
	return c
}

// keepReceived prints each message, or writes it into a folder.
func keepReceived(std stdio, folder string) func(context.Context, []byte) {
	var n atomic.Int64
	return func(_ context.Context, message []byte) {
		k := n.Add(1)
		if folder == "" {
			fmt.Fprintf(std.out, "%s\n", message)
			return
		}
		name := filepath.Join(folder, fmt.Sprintf("%06d.hl7", k))
		if err := os.WriteFile(name, message, 0o600); err != nil {
			fmt.Fprintln(std.err, "listen:", err)
			return
		}
		fmt.Fprintln(std.out, name)
	}
}
