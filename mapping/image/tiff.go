package image

// tiff reads the directories of a TIFF. What is private in them cannot be cut out: offsets would break.
func (a *anatomy) tiff(b section) error {
	x, err := readExif(b)
	if err != nil {
		return err
	}
	a.Width, a.Height, a.Depth, a.ICC = x.width, x.height, max(x.depth, 1), x.icc.n > 0
	a.exif(x)
	if a.ICC {
		return a.icc.add(x.icc)
	}
	return nil
}
