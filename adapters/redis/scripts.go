package redis

import (
	"context"
	"embed"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/dermgate/dermgate/gateway/flow"
)

//go:embed lua/*.lua
var lua embed.FS

type scripts struct{ put, claim, settle, renew, step, act, tell, pause, enter, leave, mark, prune, date *redis.Script }

// loadScripts reads the scripts, each behind what all share.
func (s *Store) loadScripts(context.Context) error {
	for name, to := range map[string]**redis.Script{"put": &s.scripts.put, "claim": &s.scripts.claim, "settle": &s.scripts.settle,
		"renew": &s.scripts.renew, "step": &s.scripts.step, "act": &s.scripts.act, "tell": &s.scripts.tell, "pause": &s.scripts.pause,
		"enter": &s.scripts.enter, "leave": &s.scripts.leave, "mark": &s.scripts.mark, "prune": &s.scripts.prune, "date": &s.scripts.date} {
		text, err := source("lib", name)
		if err != nil {
			return err
		}
		*to = redis.NewScript("local layout = '" + layoutText + "'\n" + text)
	}
	return nil
}

// source gives the text of files in lua/, one after another.
func source(names ...string) (string, error) {
	var out strings.Builder
	for _, name := range names {
		text, err := lua.ReadFile("lua/" + name + ".lua")
		if err != nil {
			return "", err
		}
		out.Write(text)
	}
	return out.String(), nil
}

// call gathers KEYS and ARGV of a script in one partition; scripts read both in order.
type call struct {
	partition int
	keys      []string
	args      []any
	first     []place // written before it
}

func (s *Store) call(partition int) *call {
	return &call{partition: partition, keys: append(make([]string, 0, 32), s.keys[partition]...)}
}

func (c *call) key(keys ...string) *call { c.keys = append(c.keys, keys...); return c }
func (c *call) arg(args ...any) *call    { c.args = append(c.args, args...); return c }

// behind has references written before the script runs.
func (c *call) behind(first []place) *call { c.first = append(c.first, first...); return c }

// run runs a script that writes, and gives the parts of its answer, the word first. What is written before it goes in the
// same round trip, so that one sync of the file makes both durable, in this order. In a cluster it lives on other nodes, and
// where replicas are waited for nothing may be done that too few of them will have: then its answer is waited for.
func (s *Store) run(ctx context.Context, script *redis.Script, c *call) ([]any, error) {
	one, alone := s.db.(*redis.Client)
	switch {
	case len(c.first) == 0:
	case alone && s.o.Wait.Replicas == 0:
		return together(ctx, one, script, c)
	default:
		if err := s.add(ctx, c.first); err != nil {
			return nil, err
		}
	}
	if s.o.Wait.Replicas > 0 {
		return s.runAndWait(ctx, script, c)
	}
	reply, err := script.Run(ctx, s.db, c.keys, c.args...).Slice()
	return reply, fault(err)
}

// together runs a script behind what is written before it.
func together(ctx context.Context, db *redis.Client, script *redis.Script, c *call) ([]any, error) {
	send := func(ask func(context.Context, redis.Scripter, []string, ...any) *redis.Cmd) (cmd *redis.Cmd, err error) {
		_, err = db.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, m := range c.first {
				m.add(ctx, p)
			}
			cmd = ask(ctx, p, c.keys, c.args...)
			return nil
		})
		return cmd, err
	}
	cmd, err := send(script.EvalSha)
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		cmd, err = send(script.Eval)
	}
	if err != nil {
		return nil, fault(err)
	}
	reply, err := cmd.Slice()
	return reply, fault(err)
}

// settled runs a script whose answer is one word.
func (s *Store) settled(ctx context.Context, script *redis.Script, c *call) error {
	reply, err := s.run(ctx, script, c)
	if err != nil {
		return err
	}
	return word(reply)
}

// runAll runs a script in several partitions in one round trip. A Redis that was started anew does not know
// the script: it is then sent whole.
func (s *Store) runAll(ctx context.Context, script *redis.Script, calls []*call) []*redis.Cmd {
	out := make([]*redis.Cmd, len(calls))
	_, _ = s.db.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its own error
		for i, c := range calls {
			out[i] = script.EvalSha(ctx, p, c.keys, c.args...)
		}
		return nil
	})
	for i, cmd := range out {
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			out[i] = script.Eval(ctx, s.db, calls[i].keys, calls[i].args...)
		}
	}
	return out
}

// word gives the first word of an answer as an error: nil for done, and for what was applied before.
func word(reply []any) error {
	if len(reply) == 0 {
		return fmt.Errorf("redis: a script without an answer")
	}
	switch reply[0] {
	case "done", "repeat", "applied":
		return nil
	case "conflict":
		return flow.ErrConflict
	case "stale":
		return flow.ErrStale
	case "lease":
		return flow.ErrLease
	case "none":
		return flow.ErrNotFound
	}
	return fmt.Errorf("redis: a script answers %v", reply[0])
}
