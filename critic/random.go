package critic

// Keys of random streams come from names.

import (
	"crypto/sha256"
	"encoding/binary"

	"criticrm/record"
)

// KeyOf is the random stream of one request: a hash of what the stream is for, the record's id, the side and an
// index. It does not depend on the record's place in the file, so a shuffled file gives the same samples.
func KeyOf(purpose, id string, side record.Side, index int) uint64 {
	h := sha256.New()
	h.Write([]byte("criticrm critic 1\x00" + purpose + "\x00" + side.String() + "\x00"))
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(index)))
	h.Write([]byte(id))
	return binary.LittleEndian.Uint64(h.Sum(nil))
}
