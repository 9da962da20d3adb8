//go:build !cuda

package collective

import "errors"

// library is NCCL, which programs without CUDA do not have.
type library struct{}

func openNCCL(func(string) string) (*library, error) {
	return nil, errors.New("this criticrm is built without CUDA, so its ranks are of CPUs: run make cuda, or use --device cpu")
}

func (l *library) String() string                           { return "" }
func (l *library) newID() ([]byte, error)                   { panic("collective: no NCCL") }
func (l *library) engine(*Group, []byte) (transport, error) { panic("collective: no NCCL") }
