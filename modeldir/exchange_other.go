//go:build !linux

package modeldir

// exchange lets two names change places.
func exchange(a, b string) error { return exchangeInSteps(a, b) }
