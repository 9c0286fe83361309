package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	_ "embed"

	"github.com/gin-gonic/gin"
	"golang.org/x/tools/txtar"

	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/gateway/observe"
)

//go:embed story.yaml
var storyConfig []byte

// storyLimit is how long a conversation may take, by the machine's clock.
const storyLimit = 2 * time.Minute

// conversation is one of the story: what everybody does, and how its cases must end. What is sent in it, and what everybody
// received, is in fixtures/story under its name.
type conversation struct {
	name, title string
	play        func(*play)
	ends        []string // "advice CLOSED": its cases, in the order in which they were opened
	sources     string   // more of the configuration, as YAML
	routes      string
}

// story plays the conversations, each with a gateway, simulators and a clock of its own, and prints them in order. out is a
// folder for what everybody received; empty: none. only names the one to play; empty: all.
func story(ctx context.Context, std stdio, out, only string) error {
	gin.SetMode(gin.ReleaseMode)
	var chosen []conversation
	for _, c := range conversations() {
		if only == "" || only == c.name || only == c.name[:2] {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return errUsage{fmt.Errorf("no conversation %q: 01 to %02d", only, len(conversations()))}
	}
	var told []*play
	wrong := 0
	for p := range played(ctx, chosen) {
		told = append(told, p)
		fmt.Fprintf(std.out, "%s\n", p.out.Bytes())
		if p.err != nil {
			wrong++
			fmt.Fprintf(std.err, "%s: %v\n", p.name, p.err)
		}
		if out != "" {
			if err := p.write(out); err != nil {
				return err
			}
		}
	}
	tableOf(std.out, told)
	if err := ctx.Err(); err != nil {
		return err
	}
	if wrong > 0 {
		fmt.Fprintf(std.err, "%d of %d conversations did not end as they should\n", wrong, len(chosen))
		return errFound
	}
	return nil
}

// played gives the conversations in order, each as soon as it and those before it are over. As many are under way as there
// are processors.
func played(ctx context.Context, all []conversation) func(yield func(*play) bool) {
	return func(yield func(*play) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		slots := make(chan struct{}, runtime.GOMAXPROCS(0))
		over := make([]chan *play, len(all))
		for i := range all {
			over[i] = make(chan *play, 1)
		}
		go func() {
			for i, c := range all {
				slots <- struct{}{}
				go func() {
					over[i] <- converseAlone(ctx, c)
					<-slots
				}()
			}
		}()
		for i := range all {
			if !yield(<-over[i]) {
				return
			}
		}
	}
}

// converseAlone plays one conversation to its end.
func converseAlone(ctx context.Context, c conversation) *play {
	ctx, cancel := context.WithTimeout(ctx, storyLimit)
	defer cancel()
	p := &play{conversation: c, ctx: ctx}
	began := time.Now()
	defer func() { p.took = time.Since(began) }()
	p.err = p.begin()
	if p.err != nil {
		return p
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- p.w.app.run(running) }()
	p.try(p.listening)
	p.try(p.settle)
	c.play(p)
	p.try(p.settle)
	p.try(p.over)
	stop()
	p.err = errors.Join(p.err, <-done)
	p.w.close()
	return p
}

// begin starts the gateway and everybody around it at a quarter past ten.
func (p *play) begin() error {
	archive, err := fixtures.Story(p.name)
	if err != nil {
		return err
	}
	p.archive, p.clock = archive, &hand{at: time.Date(2026, 11, 3, 10, 15, 0, 0, time.UTC)}
	config := strings.NewReplacer("  # more sources of a conversation\n", p.sources, "  # more routes of a conversation\n", p.routes).Replace(string(storyConfig))
	p.w, err = startWorldBy(p.ctx, []byte(config), [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}, observe.NewLogger(&p.log, slog.LevelInfo), p.clock)
	if err != nil {
		return err
	}
	p.w.notify.Auto = false
	p.w.token.RegisterJWKS("hospital", "http://"+p.w.app.public.Addr().String()+"/.well-known/jwks.json", "")
	if strings.Contains(p.sources, "key.pem") {
		if err := p.key(); err != nil {
			return err
		}
	}
	p.watch()
	p.header()
	return p.renew(p.clock.Now())
}

// key makes the key of the gateway's application at the NHS's token service.
func (p *play) key() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return os.WriteFile(filepath.Join(p.w.dir, "key.pem"), pem.EncodeToMemory(block), 0o600)
}

// write leaves what everybody received in a folder: a file each, and all of it as the fixture has it.
func (p *play) write(folder string) error {
	for _, f := range p.got {
		name := filepath.Join(folder, p.name, filepath.FromSlash(f.name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, f.raw, 0o644)); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, p.name+".txtar"), txtar.Format(p.fixture()), 0o644); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}
