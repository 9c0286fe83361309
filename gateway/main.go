// Command gateway is Dermgate: a FHIR and HL7 v2 gateway for teledermatology. One verb a file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/gateway/photoworker"
)

func main() {
	photoworker.Work() // when this process was started to decode a photo
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}

// stdio is what a verb talks to: results on out, everything else on err.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// errFound ends a verb with exit 1 when what it found is on the screen already.
var errFound = errors.New("faults found")

// errUsage ends a verb with exit 2.
type errUsage struct{ error }

// run is the whole program: exit 0 done, 1 refused or found faults, 2 wrong usage.
func run(ctx context.Context, args []string, io stdio) int {
	root := &cobra.Command{
		Use:           "gateway",
		Short:         "Dermgate: a FHIR and HL7 v2 gateway for teledermatology",
		Long:          "Dermgate takes HL7 v2 and FHIR requests with photos from GP systems, brings them to e-RS,\nA&G platforms and hospital EPRs, and brings the answers home.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetIn(io.in)
	root.SetOut(io.out)
	root.SetErr(io.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return errUsage{err} })
	root.AddCommand(demoVerb(io), serveVerb(io), mapVerb(io), hl7Verb(io), photoVerb(io), lintVerb(io), testVerb(io), newVerb(io), doctorVerb(io), sendVerb(io), listenVerb(io), simVerb(io), rekeyVerb(io), jwksVerb(io))
	root.AddCommand(operatorVerbs(io)...)
	err := root.ExecuteContext(ctx)
	var usage errUsage
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFound):
		return 1
	case errors.As(err, &usage) || isUsage(err):
		fmt.Fprintln(io.err, "gateway:", err)
		return 2
	}
	fmt.Fprintln(io.err, "gateway:", err)
	return 1
}

// isUsage tells cobra's own errors about a verb or its arguments, which have no type.
func isUsage(err error) bool {
	text := err.Error()
	for _, start := range []string{"unknown command", "unknown flag", "accepts ", "requires "} {
		if len(text) >= len(start) && text[:len(start)] == start {
			return true
		}
	}
	return false
}

// input reads the file named by the only argument, or standard input for none or "-".
func input(args []string, in io.Reader) ([]byte, error) {
	if len(args) == 0 || args[0] == "-" {
		return io.ReadAll(in)
	}
	return os.ReadFile(args[0])
}
