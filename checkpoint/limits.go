package checkpoint

import "strconv"

// What files from strangers may ask for. Each limit is checked before memory of that size is taken.
const (
	maxHeader     = 100_000_000 // bytes of a safetensors header, as in the format's own reader
	maxTensors    = 65_536      // tensors of one file, and of one model directory
	maxDims       = 8           // dimensions of a tensor
	maxName       = 512         // bytes of a tensor name
	maxMetaCount  = 1024        // entries of __metadata__
	maxMetaValue  = 64 << 10    // bytes of one of them
	maxMetaBig    = 1 << 20     // one entry may be larger, up to this
	maxIndex      = 64 << 20    // bytes of model.safetensors.index.json
	maxShards     = 1024        // files of a sharded model
	maxManifest   = 256 << 20   // bytes of a manifest
	maxState      = 64 << 20    // bytes of State.Meta
	maxFileRaw    = 256 << 20   // raw bytes of one file of a checkpoint
	maxWindow     = 8 << 20     // bytes of a zstd window
	maxDataFiles  = 1 << 20     // files of a checkpoint
	maxShownBytes = 80          // bytes of a name shown in an error
)

// quote shows a name from a file: escaped, and cut so that an error stays one readable line.
func quote(s string) string {
	if len(s) <= maxShownBytes {
		return strconv.Quote(s)
	}
	return strconv.Quote(s[:maxShownBytes]) + "…"
}
