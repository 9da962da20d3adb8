package hub

import (
	"errors"
	"fmt"
	"io/fs"
)

// Hint says of the error of a path that is not there, and that could be a name on the hub, where such names are found: a function that opens
// files looks at the disk alone.
func Hint(err error, path string, kind Kind) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	n, ok := Parse(path, kind)
	if !ok {
		return err
	}
	return fmt.Errorf("%w: if it is a %s on Hugging Face's hub, 'criticrm fetch %s' gets it and prints its path", err, n.Kind.what(), path)
}
