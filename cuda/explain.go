//go:build cuda

package cuda

import (
	"errors"

	"gorgonia.org/cu"

	"criticrm/kernels"
)

// explain says what an error of the driver means that is only a name. It shows at the first call after what has failed.
func explain(err error) error {
	if code, ok := number(err, cu.Success); ok && lost(code) {
		return kernels.Lost{Err: detail(err)}
	}
	return detail(err)
}

// number is the driver's number of an error, whose type package cu keeps to itself.
func number[T interface {
	~int
	error
}](err error, _ T) (int, bool) {
	var code T
	ok := errors.As(err, &code)
	return int(code), ok
}
