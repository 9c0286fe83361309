package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// UnmarshalJSON takes the fields of Ack and no others.
func (a *Ack) UnmarshalJSON(b []byte) error {
	type plain Ack
	x := struct {
		*plain
		Delay wait `json:"delay"`
	}{plain: (*plain)(a)}
	err := strict(b, &x)
	a.Delay = time.Duration(x.Delay)
	return err
}

// MarshalJSON writes what UnmarshalJSON reads.
func (a Ack) MarshalJSON() ([]byte, error) {
	type plain Ack
	return json.Marshal(struct {
		plain
		Delay wait `json:"delay,omitempty"`
	}{plain(a), wait(a.Delay)})
}

// Arrange is Next with what a person writes: an error names what it cannot mean.
func (l *listener) Arrange(a Ack) error {
	switch {
	case a.Code != "" && !slices.Contains([]string{"AA", "AE", "AR", "CA", "CE", "CR"}, a.Code):
		return fmt.Errorf("sim: code %q: MSA-1 is AA, AE, AR, CA, CE or CR", a.Code)
	case a.Code == "" && !a.Silent && !a.Close && !a.Cut && a.Delay <= 0:
		return errors.New("sim: a fault has a code, a delay, silent, close or cut")
	case a.Lose && !a.Silent && !a.Close && !a.Cut:
		return errors.New("sim: lose goes with silent, close or cut: what is acknowledged is kept")
	}
	l.Next(a)
	return nil
}

// Control lets a stand-in be told what to do by HTTP on addr, under /sim; it gives the address.
func (l *listener) Control(addr string, more func(*desk)) (string, error) {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("sim: %w", err)
	}
	d := &desk{mux: http.NewServeMux()}
	l.desk = &http.Server{Handler: d.mux, ReadHeaderTimeout: 10 * time.Second}
	l.playing(d)
	if more != nil {
		more(d)
	}
	go l.desk.Serve(tcp) //nolint:errcheck // ends by Close
	return tcp.Addr().String(), nil
}

// listedMessage is a message in few words.
type listedMessage struct {
	N       int           `json:"n"`
	Type    string        `json:"type"`
	Control string        `json:"control"`
	Patient string        `json:"patient"`
	Texts   []string      `json:"texts"`
	Photos  []listedPhoto `json:"photos"`
}

type listedPhoto struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Lesion string `json:"lesion,omitempty"`
	Size   int    `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

func (l *listener) playing(d *desk) {
	d.act("GET /sim", "what can be acted here", func(acting) (any, error) { return object{"acts": d.acts}, nil })
	d.act("GET /sim/messages", "the messages that were taken", func(acting) (any, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		out := []listedMessage{}
		for i, m := range l.got {
			out = append(out, m.listed(l.dropped+i+1))
		}
		return out, nil
	})
	d.act("GET /sim/messages/{n}", "one of them as it came, ER7", func(a acting) (any, error) {
		m, err := l.numbered(a.PathValue("n"))
		return raw{"text/plain", m.Raw}, err
	})
	d.act("GET /sim/messages/{n}/photos/{photo}", "one of its photos, the first is 1", func(a acting) (any, error) {
		m, err := l.numbered(a.PathValue("n"))
		i, _ := strconv.Atoi(a.PathValue("photo"))
		if err != nil || i < 1 || i > len(m.Photos) {
			return nil, errNothing
		}
		return raw{m.Photos[i-1].Type, m.Photos[i-1].Bytes}, nil
	})
	d.act("POST /sim/send", "a message, ER7, is sent to the gateway by MLLP", func(a acting) (any, error) {
		return l.send(a.Context(), a.body)
	})
	d.act("POST /sim/faults", "how messages are met from now on: code, error, silent, close, cut, delay, lose, times", func(a acting) (any, error) {
		var how Ack
		if err := a.read(&how); err != nil {
			return nil, err
		}
		return nil, l.Arrange(how)
	})
	d.act("GET /sim/faults", "faults that have yet to meet a message", func(acting) (any, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return append([]Ack{}, l.acks...), nil
	})
	d.act("DELETE /sim/faults", "no faults from now on", func(acting) (any, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.acks = nil
		return nil, nil
	})
}

func (m Message) listed(n int) listedMessage {
	out := listedMessage{N: n, Type: m.Type, Control: m.Control, Patient: m.Patient, Texts: append([]string{}, m.Texts...), Photos: []listedPhoto{}}
	for _, p := range m.Photos {
		out.Photos = append(out.Photos, listedPhoto{p.Name, p.Type, p.Lesion, len(p.Bytes), p.SHA256})
	}
	return out
}

// numbered gives a message by its number, from 1.
func (l *listener) numbered(n string) (Message, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, err := strconv.Atoi(n)
	if i -= l.dropped + 1; err != nil || i < 0 || i >= len(l.got) {
		return Message{}, errNothing
	}
	return l.got[i], nil
}

// send sends a message to the gateway, its lines ended as a person's editor does, and gives what was answered.
func (l *listener) send(ctx context.Context, message []byte) (any, error) {
	if l.Gateway == "" {
		return nil, errors.New("sim: no gateway is named to send to")
	}
	er7 := strings.NewReplacer("\r\n", "\r", "\n", "\r").Replace(strings.TrimRight(string(message), "\r\n")) + "\r"
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ack, err := Send(ctx, l.Gateway, []byte(er7))
	if err != nil {
		return nil, err
	}
	return object{"code": split7(ack).field("MSA", 0, 1), "ack": strings.Split(strings.TrimRight(string(ack), "\r"), "\r")}, nil
}
