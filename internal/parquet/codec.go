package parquet

// Compressed pages, each unpacked to the size that it says, and no further.

import (
	"bytes"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// unpacker unpacks pages.
type unpacker struct{ zstd *zstd.Decoder }

// unpack gives size bytes of what is packed.
func (u *unpacker) unpack(codec format.CompressionCodec, packed []byte, size int) ([]byte, error) {
	if codec == format.Uncompressed {
		if len(packed) != size {
			return nil, fmt.Errorf("a page has %d bytes, its header says %d", len(packed), size)
		}
		return packed, nil
	}
	if size == 0 { // of nothing but nulls; some writers pack nothing, too
		return nil, nil
	}
	switch codec {
	case format.Snappy:
		if n, err := snappy.DecodedLen(packed); err != nil || n != size {
			return nil, fmt.Errorf("a page is damaged (snappy: %d bytes, its header says %d)", n, size)
		}
		return snappy.Decode(make([]byte, size), packed)
	case format.Lz4Raw:
		out := make([]byte, size)
		n, err := lz4.UncompressBlock(packed, out)
		if err != nil || n != size {
			return nil, fmt.Errorf("a page is damaged (lz4: %d bytes, its header says %d)", n, size)
		}
		return out, nil
	case format.Gzip:
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, fmt.Errorf("a page is damaged: %w", err)
		}
		return exactly(z, size)
	case format.Brotli:
		return exactly(brotli.NewReader(bytes.NewReader(packed)), size)
	case format.Zstd:
		if u.zstd == nil {
			z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
			if err != nil {
				return nil, err
			}
			u.zstd = z
		}
		if err := u.zstd.Reset(bytes.NewReader(packed)); err != nil {
			return nil, fmt.Errorf("a page is damaged: %w", err)
		}
		return exactly(u.zstd, size)
	}
	return nil, fmt.Errorf("compressed with %s, which is not read: write it with zstd or snappy", codec)
}

// maxWindow is the largest zstd window that is decoded.
const maxWindow = 32 << 20

// exactly reads size bytes and the end.
func exactly(r io.Reader, size int) ([]byte, error) {
	out := make([]byte, size)
	if _, err := io.ReadFull(r, out); err != nil {
		return nil, fmt.Errorf("a page is damaged: %w", err)
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return nil, fmt.Errorf("a page is damaged: it has more than the %d bytes that its header says", size)
	}
	return out, nil
}

func (u *unpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}
