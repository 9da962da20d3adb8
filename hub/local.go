package hub

import (
	"fmt"
	"os"
)

// Local gives the folder of a model that the cache has, whatever it has of it. It asks no network, so that libraries may call it.
func Local(n Name) (string, error) {
	h, err := FromEnv(os.Getenv)
	if err != nil {
		return "", err
	}
	r := h.repo(n)
	commit, err := r.commit()
	if err != nil {
		return "", err
	}
	if commit != "" {
		if s, err := r.snapshot(commit); err != nil || s.begun() {
			return s.dir, err
		}
	}
	return "", fmt.Errorf("hub: %s: it is not in the cache %s: 'criticrm fetch %s' gets it", n, h.Cache, n)
}
