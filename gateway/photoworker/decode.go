package photoworker

import (
	"context"
	"strings"

	"github.com/dermgate/dermgate/mapping/image"
)

// mostJPEG is how large a JPEG out of a file may be, in bytes.
const mostJPEG = 64 << 20

// Decode is Open as image.Fit wants it.
func (d *Decoder) Decode(ctx context.Context) image.Decode {
	return func(f image.File, t image.Type, most int64) (*image.Rows, error) {
		r, err := d.Open(ctx, f, t, most)
		if err != nil {
			return nil, err
		}
		out := &image.Rows{Width: r.Width, Height: r.Height, Samples: r.Samples, ICC: r.ICC, Upright: r.Upright, Blended: r.Blended, Reduced: r.Reduced, DICOM: r.DICOM,
			Next: r.Row, Close: r.Close}
		if r.DICOM != nil {
			out.Captured, out.Zone = taken(r.DICOM.Captured, r.DICOM.Zone)
		}
		if r.JPEG {
			if out.JPEG, err = r.Bytes(mostJPEG); err != nil {
				r.Close()
				return nil, err
			}
		}
		return out, nil
	}
}

// taken gives a DICOM time, "20261124100500.000000+0000", as EXIF writes it.
func taken(at, zone string) (captured, offset string) {
	if len(at) < 14 || strings.Trim(at[:14], "0123456789") != "" {
		return "", ""
	}
	if i := strings.IndexAny(at, "+-"); i >= 0 {
		zone = at[i:]
	}
	if len(zone) == 5 && strings.Trim(zone[1:], "0123456789") == "" {
		offset = zone[:3] + ":" + zone[3:]
	}
	return at[:4] + ":" + at[4:6] + ":" + at[6:8] + " " + at[8:10] + ":" + at[10:12] + ":" + at[12:14], offset
}
