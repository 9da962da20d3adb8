package parquet

// The counts inside of encodings, which decide how much memory a decoder takes.

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/format"
)

const (
	maxPage   = 1 << 30 // bytes of a page, unpacked
	maxValues = 1 << 24 // values of a page
)

// runs checks a hybrid of runs and packed numbers of a width.
func runs(b []byte, width int) error {
	total := 0
	for len(b) > 0 {
		head, n := binary.Uvarint(b)
		if n <= 0 {
			return errDamaged
		}
		b = b[n:]
		count, size := head>>1, uint64(width+7)/8
		if head&1 == 1 {
			count, size = 8*(head>>1), (head>>1)*uint64(width)
		}
		if head>>1 > maxValues || total+int(count) > maxValues+7 {
			return fmt.Errorf("a page has more than %d values", maxValues)
		}
		if total += int(count); size > uint64(len(b)) {
			if head&1 == 0 {
				return errShort
			}
			size = uint64(len(b)) // the last group may be cut
		}
		b = b[size:]
	}
	return nil
}

// levels takes the levels of a page apart from its values, and checks them. sizes are those of a second-version header, negative: they stand in
// front of the levels.
func levels(b []byte, max [2]int, sizes [2]int, count int) (values []byte, err error) {
	for i, m := range max {
		size := sizes[i]
		if size == 0 && m > 0 && count > 0 {
			return nil, errDamaged
		}
		if size < 0 {
			if m == 0 {
				continue
			}
			if len(b) < 4 {
				return nil, errShort
			}
			size = int(binary.LittleEndian.Uint32(b))
			b = b[4:]
		}
		if size > len(b) {
			return nil, errShort
		}
		if m > 0 {
			if err := runs(b[:size], bits.Len(uint(m))); err != nil {
				return nil, err
			}
		}
		b = b[size:]
	}
	return b, nil
}

// counts checks what the values of a page claim. count is how many there are at most.
func counts(b []byte, encoding format.Encoding, count int) error {
	switch encoding {
	case format.PlainDictionary, format.RLEDictionary:
		if len(b) == 0 {
			return nil
		}
		if b[0] > 32 {
			return errDamaged
		}
		return runs(b[1:], int(b[0]))
	case format.RLE: // of booleans
		if len(b) < 4 {
			return nil
		}
		return runs(b[4:], 1)
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray, format.DeltaByteArray:
		var head [3]uint64 // numbers of a block, miniblocks of it, all numbers
		rest := b
		for i := range head {
			v, n := binary.Uvarint(rest)
			if n <= 0 {
				return errDamaged
			}
			head[i], rest = v, rest[n:]
		}
		if head[0] > maxValues || head[1] > head[0] || head[2] > uint64(count) {
			return fmt.Errorf("a page claims %d numbers for %d values", head[2], count)
		}
		if encoding != format.DeltaByteArray {
			return nil
		}
		// Each text repeats the start of the one before, so that few bytes stand for many.
		prefixes, err := (&delta.BinaryPackedEncoding{}).DecodeInt32(nil, b)
		if err != nil {
			return err
		}
		total := 0
		for _, n := range prefixes {
			if total += int(n); n < 0 || total > maxPage {
				return fmt.Errorf("a page has more than %d bytes", maxPage)
			}
		}
	}
	return nil
}
