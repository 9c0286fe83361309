package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	cdkaws "gocloud.dev/aws"
	cdk "gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcerrors"
)

// Cache is where a process keeps what it has received or read lately of a bucket: sealed, in files.
type Cache struct {
	Dir   string
	Bytes int64 // most of them that are kept beside those in use; 0: none
}

// bucket is the shelf of a bucket: <owner>/<hash>, and .keyring. What is put there lies in a local file first, since
// its name and header come last, and is sent from it in one piece or in parts; what is read comes whole into a local
// file and is read there at any place. Neither is ever whole in memory.
//
// # Removing what is old
//
// A bucket has no locks. Who removes an old object first puts a mark beside it (.doomed/<name>), then looks whether it is
// still old, removes it, and the mark last. Who puts an object looks for the mark after it: where there is one, it waits and
// puts again. So an object that was confirmed is not removed after it by who looked before. It takes a bucket that
// shows what was written to whoever asks next, as S3 does since 2020.
type bucket struct {
	cdk   *cdk.Bucket
	name  string // for errors
	cache *cache
}

// Times that requests may take, with what the client tries again within them.
const (
	askTime     = 20 * time.Second
	byteTime    = 4 * time.Microsecond // 250 kB/s at least
	markedFor   = 10 * time.Minute     // an older mark was left by a crash
	markedAgain = 500 * time.Millisecond
)

const (
	marks       = ".doomed/"
	sendPart    = 8 << 20 // bytes of a part; what is smaller goes in one request
	contentType = "application/octet-stream"
)

// OpenBucket opens a bucket by its URL: s3://name?region=…, with endpoint=… and use_path_style=true for what speaks S3 and is not AWS;
// prefix=…/ for a part of it. Credentials come as the AWS SDK finds them: environment, files, the machine's role. The
// error wraps flow.ErrUnavailable when the bucket cannot be reached, ErrKey when the keys are not those of its objects.
func OpenBucket(ctx context.Context, address string, c Cache, k Keys) (*Store, error) {
	b, err := reach(ctx, address)
	if err != nil {
		return nil, err
	}
	s, err := b.enter(ctx, c, k)
	if err != nil {
		return nil, errors.Join(err, b.cdk.Close())
	}
	return s, nil
}

// reach finds a bucket that may be used.
func reach(ctx context.Context, address string) (*bucket, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "s3" {
		return nil, errors.New("blob: a bucket is s3://name?region=…")
	}
	b := &bucket{name: u.Host}
	if b.cdk, err = dial(ctx, u); err != nil {
		return nil, fmt.Errorf("blob: bucket %s: %w", b.name, err)
	}
	ask, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if ok, err := b.cdk.IsAccessible(ask); err != nil || !ok {
		err = b.fault(errors.Join(errors.New("it is not there, or not for these credentials"), err))
		return nil, errors.Join(err, b.cdk.Close())
	}
	return b, nil
}

// dial makes a client of a bucket. What it says of itself is in the errors: it logs nothing.
func dial(ctx context.Context, u *url.URL) (*cdk.Bucket, error) {
	q := u.Query()
	pathStyle, prefix := q.Get("use_path_style") == "true", q.Get("prefix")
	q.Del("use_path_style")
	q.Del("prefix")
	c, err := cdkaws.V2ConfigFromURLParams(ctx, q)
	if err != nil {
		return nil, err
	}
	c.Logger = logging.Nop{}
	client := s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = pathStyle })
	b, err := s3blob.OpenBucket(ctx, client, u.Host, &s3blob.Options{RequestChecksumCalculation: c.RequestChecksumCalculation})
	if err != nil || prefix == "" {
		return b, err
	}
	return cdk.PrefixedBucket(b, prefix), nil
}

func (b *bucket) enter(ctx context.Context, c Cache, k Keys) (*Store, error) {
	if err := makeFolders(local{}, c.Dir); err != nil {
		return nil, unavailable(err)
	}
	desk := newDesk(c.Dir)
	b.cache = &cache{desk: desk, limit: c.Bytes, entries: map[string]*cached{}}
	return openStore(ctx, b, desk, k)
}

// fault gives an error its face. What is refused now may be allowed later: only what is not there is final.
func (b *bucket) fault(err error) error {
	switch {
	case err == nil:
		return nil
	case gcerrors.Code(err) == gcerrors.NotFound:
		return errNotFound
	}
	return unavailable(fmt.Errorf("bucket %s: %w", b.name, err))
}

// timed bounds a request that carries so many bytes.
func timed(ctx context.Context, size int64) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, askTime+time.Duration(size)*byteTime)
}

func (b *bucket) place(ctx context.Context, s *Staged, name string) error {
	info, err := s.seal.file.Stat()
	if err != nil {
		return unavailable(err)
	}
	if s.named {
		return nil
	}
	for {
		if err := b.send(ctx, s.seal.file, info.Size(), name); err != nil {
			return err
		}
		marked, err := b.marked(ctx, name)
		if err != nil {
			return err
		}
		if !marked {
			break
		}
		if !sleep(ctx, markedAgain) {
			return unavailable(context.Cause(ctx))
		}
	}
	s.named = b.cache.take(name, s.seal.file.Name(), info.Size())
	return nil
}

// send writes an object; it is durable when the bucket has confirmed it.
func (b *bucket) send(ctx context.Context, file io.ReaderAt, size int64, name string) error {
	ctx, cancel := timed(ctx, size)
	defer cancel()
	return b.fault(b.cdk.Upload(ctx, name, io.NewSectionReader(file, 0, size), &cdk.WriterOptions{ContentType: contentType, BufferSize: sendPart, MaxConcurrency: 1}))
}

// marked tells whether somebody is removing an object of this name just now. Both times are the bucket's.
func (b *bucket) marked(ctx context.Context, name string) (bool, error) {
	mark, err := b.written(ctx, marks+name)
	if errors.Is(err, errNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	object, err := b.written(ctx, name)
	if errors.Is(err, errNotFound) {
		return true, nil // it was removed already
	}
	return err == nil && object.Sub(mark) < markedFor, err
}

func (b *bucket) written(ctx context.Context, key string) (time.Time, error) {
	ctx, cancel := timed(ctx, 0)
	defer cancel()
	a, err := b.cdk.Attributes(ctx, key)
	if err != nil {
		return time.Time{}, b.fault(err)
	}
	return a.ModTime, nil
}

func (b *bucket) remove(ctx context.Context, name string, before time.Time) (bool, error) {
	if before.IsZero() {
		return b.drop(ctx, name)
	}
	if old, err := b.old(ctx, name, before); err != nil || !old {
		return false, err
	}
	if err := b.write(ctx, marks+name, []byte{}); err != nil {
		return false, err
	}
	old, err := b.old(ctx, name, before)
	if err != nil {
		return false, err // the mark runs out
	}
	gone := false
	if old {
		if gone, err = b.drop(ctx, name); err != nil {
			return false, err
		}
	}
	_, err = b.drop(ctx, marks+name)
	return gone, err
}

func (b *bucket) old(ctx context.Context, name string, before time.Time) (bool, error) {
	written, err := b.written(ctx, name)
	if errors.Is(err, errNotFound) {
		return false, nil
	}
	return err == nil && !written.After(before), err
}

// drop removes a key, whatever it is.
func (b *bucket) drop(ctx context.Context, key string) (bool, error) {
	b.cache.forget(key)
	ctx, cancel := timed(ctx, 0)
	defer cancel()
	err := b.fault(b.cdk.Delete(ctx, key))
	if errors.Is(err, errNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (b *bucket) list(ctx context.Context, owner string, each func(string, time.Time) error) error {
	o := &cdk.ListOptions{}
	if owner != "" {
		o.Prefix = owner + "/"
	}
	for it := b.cdk.List(o); ; {
		ask, cancel := timed(ctx, 0)
		object, err := it.Next(ask)
		cancel()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return b.fault(err)
		}
		if !nameForm.MatchString(object.Key) {
			continue
		}
		if err := each(object.Key, object.ModTime); err != nil {
			return err
		}
	}
}

// tidy forgets what was cached long ago. Marks that a crash left run out by themselves.
func (b *bucket) tidy(before time.Time) (int, error) {
	b.cache.expire(before)
	return 0, nil
}

func (b *bucket) open(ctx context.Context, name string) (*os.File, error) {
	if file := b.cache.open(name); file != nil {
		return file, nil
	}
	file, size, err := b.fetch(ctx, name)
	if err != nil {
		return nil, err
	}
	if !b.cache.take(name, file.Name(), size) {
		os.Remove(file.Name()) // whoever has it open reads on
	}
	return file, nil
}

// fetch brings an object into a local file.
func (b *bucket) fetch(ctx context.Context, name string) (*os.File, int64, error) {
	file, err := b.cache.temporary()
	if err != nil {
		return nil, 0, unavailable(err)
	}
	n, err := b.download(ctx, name, file)
	if err != nil {
		file.Close()
		os.Remove(file.Name())
		return nil, 0, err
	}
	return file, n, nil
}

func (b *bucket) download(ctx context.Context, name string, to io.Writer) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.AfterFunc(askTime, cancel) // until it begins to come
	r, err := b.cdk.NewReader(ctx, name, nil)
	timer.Stop()
	if err != nil {
		return 0, b.fault(err)
	}
	defer r.Close()
	defer time.AfterFunc(askTime+time.Duration(r.Size())*byteTime, cancel).Stop()
	n, err := io.Copy(to, r)
	if err == nil && n != r.Size() {
		err = io.ErrUnexpectedEOF
	}
	return n, b.fault(err)
}

func (b *bucket) rewrap(ctx context.Context, name string, renew func([]byte) ([]byte, error)) error {
	h, err := b.header(ctx, name)
	if errors.Is(err, errNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if next, err := renew(h); err != nil || next == nil {
		return err
	}
	file, size, err := b.fetch(ctx, name) // it may be another one by now
	if errors.Is(err, errNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if h, err = readHeader(file); err != nil {
		return err
	}
	next, err := renew(h)
	if err != nil || next == nil {
		return err
	}
	if _, err := file.WriteAt(next, 0); err != nil {
		return unavailable(err)
	}
	b.cache.forget(name)
	return b.send(ctx, file, size, name)
}

// header reads the header of an object, or what there is of it. It asks for all of the object and breaks off: to a range some
// servers answer with the checksum of the whole, which the client then misses.
func (b *bucket) header(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := timed(ctx, 0)
	defer cancel()
	r, err := b.cdk.NewReader(ctx, name, nil)
	if err != nil {
		return nil, b.fault(err)
	}
	defer r.Close()
	h, err := io.ReadAll(io.LimitReader(r, int64(header)))
	return h, b.fault(err)
}

func (b *bucket) readRing(ctx context.Context) ([]byte, error) {
	ctx, cancel := timed(ctx, 0)
	defer cancel()
	text, err := b.cdk.ReadAll(ctx, ringFile)
	return text, b.fault(err)
}

// changeRing has no lock: two rotations see each other by their claims (Rekey). Gateways that start together write the same.
func (b *bucket) changeRing(ctx context.Context, change func([]byte) ([]byte, error)) error {
	old, err := b.readRing(ctx)
	if err != nil && !errors.Is(err, errNotFound) {
		return err
	}
	text, err := change(old)
	if err != nil {
		return err
	}
	return b.write(ctx, ringFile, text)
}

func (b *bucket) write(ctx context.Context, key string, text []byte) error {
	ctx, cancel := timed(ctx, int64(len(text)))
	defer cancel()
	return b.fault(b.cdk.Upload(ctx, key, strings.NewReader(string(text)), &cdk.WriterOptions{ContentType: contentType}))
}

func (b *bucket) close() error { return b.cdk.Close() }
