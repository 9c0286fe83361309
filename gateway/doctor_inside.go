package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dermgate/dermgate/adapters/blob"
	"github.com/dermgate/dermgate/adapters/redis"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// The least that a disk must have free, and how long before its end a certificate is told of.
const (
	leastFree = 1 << 30 // bytes
	soon      = 30 * 24 * time.Hour
)

// examineCalendar looks whether the bank holidays by which limits are counted are known.
func (d *doctor) examineCalendar(_ context.Context, e *examination) {
	if text, unsure := unproclaimed(d.cfg.Site, d.now()); unsure {
		e.warn("name them in site.bank_holidays", "%s", text)
		return
	}
	e.well("working days in %s, bank holidays as published until %d", d.cfg.Site.Timezone, pathway.Proclaimed)
}

func (d *doctor) examineStore(ctx context.Context, e *examination) {
	r := d.cfg.Store.Redis
	if r == nil {
		d.examineFolder(e, "store.embedded.path", filepath.Dir(d.cfg.Store.Embedded))
		return
	}
	o, err := d.redis(r)
	if err != nil {
		e.fault("files that this user can read", "%v", err)
		return
	}
	notes, found := redis.Examine(ctx, o)
	for _, n := range notes {
		e.well("%s", n)
	}
	for _, f := range found {
		e.fault(f.Cure, "%s: %s", f.Node, f.Fault)
	}
}

// examineFolder looks whether a folder takes what is kept in it, how soon, and how much more.
func (d *doctor) examineFolder(e *examination, name, dir string) {
	existing := dir
	for existing != filepath.Dir(existing) { // the gateway makes it when it starts
		if _, err := os.Stat(existing); !errors.Is(err, os.ErrNotExist) {
			break
		}
		existing = filepath.Dir(existing)
	}
	took, err := syncTime(existing)
	if err != nil {
		e.fault(fmt.Sprintf("give this user the folder: chown, chmod 700, and room on its disk (%s)", name), "%s cannot be written to: %v", existing, err)
		return
	}
	e.well("%s takes files, a sync takes %v", existing, took.Round(10*time.Microsecond))
	free, err := freeBytes(existing)
	switch {
	case err != nil:
		e.warn("", "how much room %s has is not known here: %v", existing, err)
	case free < leastFree:
		e.fault("room: a larger disk, or a shorter store.retain", "%s has %d MiB free: when none is left nothing is taken any more", existing, free>>20)
	default:
		e.well("%s has %d GiB free", existing, free>>30)
	}
}

// syncTime writes a page to a folder, and says how long it took to be on disk.
func syncTime(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	begun := time.Now()
	_, err = f.Write(make([]byte, 4096))
	return time.Since(begun), errors.Join(err, f.Sync())
}

// examinePhotos looks at folder, bucket and keys, and tries them with an object that it removes again.
func (d *doctor) examinePhotos(ctx context.Context, e *examination) {
	p := d.cfg.Photos
	d.examineFolder(e, "photos.url", cmp.Or(p.Folder, p.Cache.Path))
	keys, ok := d.examinePhotoKeys(e)
	if !ok {
		return
	}
	if _, err := os.Stat(p.Folder); p.Folder != "" && err != nil {
		return // the gateway makes it when it starts; what is wrong with it was told
	}
	var found blob.Examined
	var err error
	if p.Bucket != "" {
		found, err = blob.ExamineBucket(ctx, p.Bucket, keys)
	} else {
		found, err = blob.ExamineFolder(ctx, p.Folder, keys)
	}
	switch {
	case errors.Is(err, blob.ErrKey):
		e.fault("the key of these photos in photos.key_file, one that was replaced in photos.old_key_files", "%v", err)
	case err != nil:
		e.fault("what this user, or these credentials, may do there: list, read, write, remove; the ring as it stands in the backup", "%v", err)
	default:
		e.well("an object was written, read back and removed in %v", found.Took.Round(time.Millisecond))
		tellRing(e, found)
	}
}

// tellRing tells which keys open what is there.
func tellRing(e *examination, found blob.Examined) {
	switch {
	case found.New:
		e.well("there is no key ring yet: the first start makes it, for key %s", found.Key)
	case found.Absent:
		e.well("key %s seals from the next start on, beside %s", found.Key, strings.Join(found.Others, ", "))
	default:
		e.well("key %s seals, and has its slot in the ring", found.Key)
	}
	if found.Rotates {
		e.warn("gateway rekey, to its end", "a rotation has begun and not ended: photos may be sealed with %s still", strings.Join(found.Others, ", "))
	}
	if len(found.Spare) > 0 {
		e.warn("take them out of photos.old_key_files, and destroy them", "no photo needs these keys: %s", strings.Join(found.Spare, ", "))
	}
}

// examinePhotoKeys reads the keys; false when a fault was found, or there is none yet.
func (d *doctor) examinePhotoKeys(e *examination) (k blob.Keys, ok bool) {
	const cure = "openssl rand -hex 32, once, in a file that this user can read"
	p := d.cfg.Photos
	if !p.Key.Given() {
		e.warn("keep a copy of photo.key elsewhere, or name one in photos.key_file", "the key that seals photos lies beside the store: whoever has the disk has both")
		var err error
		k.Seal, err = blob.LoadKey(ownKey(d.cfg))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			e.fault("a file that this user alone can read: chmod 600", "%v", err)
		}
		return k, err == nil
	}
	var err error
	if k, err = photoKeys(d.cfg); err != nil {
		e.fault(cure, "the keys of photos: %v", err)
		return k, false
	}
	for _, secret := range append([]config.Secret{p.Key}, p.OldKeys...) {
		if info, err := os.Stat(secret.File()); err == nil && info.Mode().Perm()&0o077 != 0 {
			e.warn("chmod 600, and chown to this user", "%s may be read by others on this machine (%v)", secret.File(), info.Mode().Perm())
		}
	}
	return k, true
}

func (d *doctor) examineListener(ctx context.Context, e *examination, l config.Listener) {
	if l.TLS == nil {
		e.well("%s: loopback, without TLS", l.Listen)
	} else {
		d.examineKeys(e, l.TLS.CertFile, l.TLS.KeyFile)
		d.examineAuthority(e, l.TLS.ClientCAFile)
	}
	if l.OIDC != nil {
		d.examineIssuer(ctx, e, l.OIDC.Issuer)
	}
}

func (d *doctor) examineSource(ctx context.Context, e *examination, s config.Source) {
	switch {
	case s.Kind == config.ERSWorklist:
		d.examineWorklist(ctx, e, s)
	case s.Kind == config.MESH:
		d.examineDestination(ctx, e, config.Destination{Name: s.Name, Kind: config.MESHOut, BaseURL: s.BaseURL, TLS: s.Client, Mailbox: s.Mailbox, Password: s.Password, SharedKey: s.SharedKey, Timeout: lookTime})
	case s.TLS != nil:
		d.examineKeys(e, s.TLS.CertFile, s.TLS.KeyFile)
		d.examineAuthority(e, s.TLS.ClientCAFile)
	case s.Kind == config.MLLP:
		e.well("%s: loopback, without TLS", s.Listen)
	case s.Kind == config.File:
		d.examineFolder(e, "path of "+s.Name, s.Path)
	}
}

// examineKeys looks at a certificate that this gateway proves itself with.
func (d *doctor) examineKeys(e *examination, certFile, keyFile string) {
	if certFile == "" {
		return
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		e.fault("a certificate and its own key, in PEM, that this user can read", "%v", err)
		return
	}
	d.examineExpiry(e, certFile, pair.Leaf)
}

// examineAuthority looks at the certificates that the other side's must come from.
func (d *doctor) examineAuthority(e *examination, file string) {
	if file == "" {
		return
	}
	rest, err := os.ReadFile(file)
	if err != nil {
		e.fault("a file that this user can read", "%v", err)
		return
	}
	found := 0
	for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			found++
			d.examineExpiry(e, file, c)
		}
	}
	if found == 0 {
		e.fault("the authority's certificate in PEM", "%s holds no certificate", file)
	}
}

func (d *doctor) examineExpiry(e *examination, whose string, c *x509.Certificate) {
	now := d.now()
	switch left := c.NotAfter.Sub(now); {
	case now.Before(c.NotBefore):
		e.fault("the right time on this machine, or another certificate", "the certificate of %s counts from %s only", whose, c.NotBefore.Format(time.DateOnly))
	case left <= 0:
		e.fault("a new one", "the certificate of %s ended on %s", whose, c.NotAfter.Format(time.DateOnly))
	case left < soon:
		e.warn("a new one before then", "the certificate of %s ends on %s, in %d days", whose, c.NotAfter.Format(time.DateOnly), int(left.Hours()/24))
	default:
		e.well("the certificate of %s holds until %s", whose, c.NotAfter.Format(time.DateOnly))
	}
}
