package mapping

import (
	"strings"
)

// arena keeps texts in a few large blocks: a message has hundreds of short ones.
type arena struct {
	block   strings.Builder
	scratch []byte
	kept    int // bytes of this message
	usual   int // bytes of the messages before
}

const arenaBlock = 4 << 10 // bytes, of a block that is needed beside the first

func (a *arena) keep(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	block := a.room(len(b))
	n := block.Len()
	block.Write(b)
	return block.String()[n:]
}

// room gives the block for a text of n bytes.
func (a *arena) room(n int) *strings.Builder {
	a.kept += n
	if a.block.Cap()-a.block.Len() < n {
		a.block = strings.Builder{}
		a.block.Grow(max(arenaBlock, n))
	}
	return &a.block
}

// open makes a first block for n bytes and what a message usually needs.
func (a *arena) open(n int) { a.block.Grow(n + a.usual) }

// close lets go of the blocks: their texts belong to the result.
func (a *arena) close(body int) {
	a.usual = min(max(a.kept-body, a.usual-a.usual/8), arenaBlock)
	a.block, a.kept = strings.Builder{}, 0
}
