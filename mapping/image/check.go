package image

import (
	"strings"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Check inspects a file and holds it against the media type that its sender declared ("" or
// application/octet-stream: none). A declared photo that is none is an error, as is a type that is not
// taken; another type than declared is a warning, and the bytes win. The place is left to the caller.
// The error is a *ReadError: the file could not be read, so nothing is known of it.
func Check(file File, declared string, lim Limits) (Facts, issue.List, error) {
	f, err := Inspect(file, lim)
	if unread, ok := err.(*ReadError); ok {
		return f, nil, unread
	}
	declared, _, _ = strings.Cut(strings.ToLower(declared), ";")
	declared = strings.TrimSpace(declared)
	claimed := strings.HasPrefix(declared, "image/")
	switch {
	case err != nil:
		return f, issue.List{issue.From(err)}, nil
	case claimed && !f.Type.Photo():
		return f, issue.List{issue.New(issue.Value, "", "declared a photo, but it is "+f.Type.String())}, nil
	case !f.Type.Taken():
		return f, issue.List{issue.New(issue.UnsupportedType, "", types[f.Type].refused)}, nil
	case !agrees(declared, f.Type):
		return f, issue.List{issue.Warn(issue.Value, "", "declared as another type than it is: "+f.Type.String())}, nil
	}
	return f, nil, nil
}

// agrees holds a declared media type, in lower case, against the one found; it knows their other names.
func agrees(declared string, t Type) bool {
	switch declared {
	case "", "application/octet-stream", "binary/octet-stream", t.MediaType():
		return true
	case "image/jpg", "image/pjpeg":
		return t == JPEG
	case "image/tif":
		return t == TIFF
	case "image/heif":
		return t == HEIC
	case "image/x-ms-bmp", "image/x-bmp":
		return t == BMP
	case "application/rtf":
		return t == RTF
	}
	switch t {
	case XML:
		return strings.HasSuffix(declared, "xml")
	case Text:
		return strings.HasPrefix(declared, "text/")
	}
	return false
}
