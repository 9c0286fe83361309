package main

import (
	"os"
	"testing"

	"github.com/dermgate/dermgate/gateway/photoworker"
)

// shared is where tests keep what is made once for all of them: the built program, npm's libraries.
var shared string

func TestMain(m *testing.M) {
	photoworker.Work() // this binary is the program that is started again
	os.Exit(func() int {
		var err error
		if shared, err = os.MkdirTemp("", "dermgate-test-"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(shared)
		return m.Run()
	}())
}
