package file

import (
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// longestName leaves room, in the 255 bytes of a name, for a time, a count and the suffix of an answer.
const longestName = 200

// free gives a name that neither a file that was taken nor its answer has: the file's own, else with the
// time in it, and a count where even that is taken.
func (d *folder) free(name string, now time.Time) (string, error) {
	stem, ext := cut(name)
	stamp := stem + "~" + now.UTC().Format("20060102T150405.000")
	name = stem + ext
	for n := 1; ; n++ {
		if taken, err := d.taken(name); err != nil || !taken {
			return name, err
		}
		name = stamp + ext
		if n > 1 {
			name = stamp + "-" + strconv.Itoa(n) + ext
		}
	}
}

// cut splits a name before its extension, and shortens one that would leave no room.
func cut(name string) (stem, ext string) {
	if ext = path.Ext(name); len(ext) > 16 {
		ext = ""
	}
	stem = strings.TrimSuffix(name, ext)
	if len(stem) <= longestName {
		return stem, ext
	}
	end := longestName - 13
	for !utf8.RuneStart(stem[end]) && end > longestName-17 {
		end--
	}
	return stem[:end] + "~" + hashed(name), ext
}

// taken tells whether a name is one of a taken file, or of an answer that is there or to come.
func (d *folder) taken(name string) (bool, error) {
	places := []string{path.Join(taking, name), path.Join(done, name), path.Join(refused, name)}
	for _, suffix := range suffixes {
		places = append(places, path.Join(done, name+suffix), path.Join(refused, name+suffix))
		if stem, ok := strings.CutSuffix(name, suffix); ok {
			places = append(places, path.Join(taking, stem))
		}
	}
	for _, place := range places {
		if _, err := d.root.Lstat(place); !errors.Is(err, fs.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
}
