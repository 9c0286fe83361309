package config

import (
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
)

// The readers below turn the text of a scalar into a value or say what was expected, in words that finish
// the sentence "<key> …".

var (
	namePattern     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)  // a metric label, a file name, a store key
	odsPattern      = regexp.MustCompile(`^[A-Z0-9]{3,12}$`)                   // ODS organisation code
	mailboxPattern  = regexp.MustCompile(`^[A-Za-z0-9]{3,30}$`)                // of MESH
	workflowPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]{1,99}$`) // of MESH
	pathPattern     = regexp.MustCompile(`^[A-Z][A-Z0-9]{2}(\[[1-9]\d*\])?-[1-9]\d*(\[[1-9]\d*\])?(\.[1-9]\d*){0,2}$`)
	tablePattern    = regexp.MustCompile(`^[0-9]{4}$`)                                           // HL7 table
	placePattern    = regexp.MustCompile(`^[A-Z][A-Z0-9]{2}-[1-9]\d{0,2}(\.[1-9]\d{0,2}){0,2}$`) // of a length
	structPattern   = regexp.MustCompile(`^[A-Z]{3}_[A-Z][A-Z0-9]{2}$`)                          // HL7 table 0354
	bytesPattern    = regexp.MustCompile(`^(\d{1,15})\s*(|B|KiB|MiB|GiB|KB|MB|GB)$`)
	pixelPattern    = regexp.MustCompile(`^(\d{1,15})\s*(|MP)$`)
	daysPattern     = regexp.MustCompile(`^(\d{1,4})(d|wd)$`)
	ratePattern     = regexp.MustCompile(`^(\d{1,6})/(s|m|h)$`)
)

var unitBytes = map[string]int64{
	"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 1e3, "MB": 1e6, "GB": 1e9,
}

// ParseBytes reads a size: 25MiB, 745KB, 5242880. Its errors finish a sentence, "is a size such as 25MiB …".
func ParseBytes(s string) (int64, error) {
	m := bytesPattern.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf(`is a size such as 25MiB (units B, KB, MB, GB, KiB, MiB, GiB)`)
	}
	n, _ := strconv.ParseInt(m[1], 10, 64) // 15 digits fit
	if n > math.MaxInt64/unitBytes[m[2]] {
		return 0, fmt.Errorf("is too large a size")
	}
	return n * unitBytes[m[2]], nil
}

// ParsePixels reads a number of pixels: 24MP, 1000000. Its errors are as those of ParseBytes.
func ParsePixels(s string) (int64, error) {
	m := pixelPattern.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("is a number of pixels such as 64MP")
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	if m[2] == "MP" {
		if n > math.MaxInt64/1_000_000 {
			return 0, fmt.Errorf("is too large a number of pixels")
		}
		n *= 1_000_000
	}
	return n, nil
}

// readDuration takes Go's notation and days of 24 hours: 200ms, 1h30m, 14d.
func readDuration(s string) (time.Duration, error) {
	if m := daysPattern.FindStringSubmatch(s); m != nil && m[2] == "d" {
		n, _ := strconv.Atoi(m[1])
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || strings.HasPrefix(s, "-") || s == "0" {
		return 0, fmt.Errorf("is a duration such as 200ms, 15m, 2h or 14d")
	}
	return d, nil
}

// readSpan takes a duration, days, or working days: 8h, 28d, 5wd, 0wd.
func readSpan(s string) (pathway.Span, error) {
	span, err := pathway.ParseSpan(s)
	if err != nil {
		return span, fmt.Errorf("is a duration such as 8h, days such as 28d, or working days such as 5wd (0wd: the same day)")
	}
	return span, nil
}

// readDay takes a date, 2027-06-07.
func readDay(s string) (string, error) {
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return "", fmt.Errorf("is a date such as 2027-06-07")
	}
	return s, nil
}

// readRate takes 10/s, 600/m or 100/h and gives a number a second.
func readRate(s string) (float64, error) {
	m := ratePattern.FindStringSubmatch(s)
	if m == nil || strings.Trim(m[1], "0") == "" {
		return 0, fmt.Errorf("is a rate such as 10/s, 600/m or 100/h")
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	return n / map[string]float64{"s": 1, "m": 60, "h": 3600}[m[2]], nil
}

// readTimeOfDay gives the time since midnight.
func readTimeOfDay(s string) (time.Duration, error) {
	t, err := time.Parse("15:04", s)
	if err != nil {
		return 0, fmt.Errorf("is a time of day such as \"07:00\"")
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

func readPrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("is an address or a network such as 10.1.0.0/16")
	}
	return p.Masked(), nil
}

func readZone(s string) (*time.Location, error) {
	z, err := time.LoadLocation(s)
	if err != nil || s == "" || s == "Local" {
		return nil, fmt.Errorf("is a time zone of the IANA database such as Europe/London")
	}
	return z, nil
}

// readAddress takes host:port; an empty host listens everywhere.
func readAddress(s string) (string, error) {
	_, port, ok := cutPort(s)
	if n, err := strconv.Atoi(port); !ok || err != nil || n < 0 || n > 65535 {
		return "", fmt.Errorf("is host:port such as 127.0.0.1:2575")
	}
	return s, nil
}

func cutPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", "", false
	}
	host, port = s[:i], s[i+1:]
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		inner, bracketed = strings.CutSuffix(inner, "]")
		return inner, port, bracketed
	}
	return host, port, !strings.Contains(host, ":")
}

// readBase takes the absolute http(s) address of a service, without credentials, query or fragment: those
// would end up in logs.
func readBase(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("is an address such as https://host/path, without user, query or fragment")
	}
	return strings.TrimRight(s, "/"), nil
}

func matching(p *regexp.Regexp, expected string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !p.MatchString(s) {
			return "", fmt.Errorf("is %s", expected)
		}
		return s, nil
	}
}

// Loopback tells whether an address (host:port) can be reached from this machine only.
func Loopback(address string) bool {
	host, _, ok := cutPort(address)
	if !ok {
		return false
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
