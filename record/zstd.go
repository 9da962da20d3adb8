package record

// Files compressed with zstd. The decoder reads any number of frames behind each other and does not say what they lack.

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is the largest zstd window that is decoded: a header of 10 bytes may ask for 512 MiB.
const maxWindow = 8 << 20

// skippable is the magic number of frames that hold no data, without its last digit.
const skippable = 0x184D2A5

// zstd reads a file that begins with head through the decoder.
func (p *part) zstd(raw io.Reader, head []byte) error {
	var h zstd.Header
	if err := h.Decode(head); err != nil && !isSkippable(head) {
		return p.fault(place{}, -1, "damaged zstd header: %v", err)
	}
	window := h.WindowSize
	if h.SingleSegment {
		window = h.FrameContentSize // the frame is its own window
	}
	switch {
	case window > maxWindow:
		return p.fault(place{}, -1, "needs a %d MiB window, limit %d MiB (compress without --long)", window>>20, maxWindow>>20)
	case h.DictionaryID != 0:
		return p.fault(place{}, -1, "needs zstd dictionary %d, which is not supported", h.DictionaryID)
	}
	p.frames = &frames{in: raw}
	z, err := zstd.NewReader(p.frames, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return fmt.Errorf("record: read %s: %w", p.name, err)
	}
	p.closers = append(p.closers, func() error { z.Close(); return nil })
	p.limit(z)
	return nil
}

// isSkippable says whether a file begins with a frame without data, as parallel zstd writes one.
func isSkippable(head []byte) bool {
	return len(head) >= 8 && binary.LittleEndian.Uint32(head)>>4 == skippable
}

// note says what a zstd file lacks.
func (f *frames) note(p *part) {
	if f.unchecked > 0 {
		p.r.note(p, "zstd without a checksum: damage inside would not be seen (zstd --check writes one)")
	}
	if f.skippable > 0 {
		p.r.note(p, "zstd: %d skippable frames are not read", f.skippable)
	}
}

// frames passes a zstd stream on and takes note of its frames.
type frames struct {
	in        io.Reader
	unchecked int // frames without a checksum
	skippable int // frames that hold no data

	head    []byte // of what is being read: the start of a frame or of a block
	skip    uint64 // bytes until the next one
	inside  bool   // of a frame
	checked bool   // a checksum ends the frame
	lost    bool   // this is no frame; the decoder says so
}

func (f *frames) Read(p []byte) (int, error) {
	n, err := f.in.Read(p)
	for b := p[:n]; len(b) > 0 && !f.lost; {
		if f.skip > 0 {
			k := min(uint64(len(b)), f.skip)
			f.skip, b = f.skip-k, b[k:]
			continue
		}
		f.head, b = append(f.head, b[0]), b[1:]
		if f.inside {
			f.block()
		} else {
			f.start()
		}
	}
	return n, err
}

// start reads the start of a frame: a magic number, then the header, whose length its first byte tells.
func (f *frames) start() {
	h := f.head
	if len(h) < 5 {
		return
	}
	switch magic := binary.LittleEndian.Uint32(h); {
	case magic>>4 == skippable:
		if len(h) == 8 {
			f.skippable++
			f.skip, f.head = uint64(binary.LittleEndian.Uint32(h[4:])), h[:0]
		}
	case magic != 0xFD2FB528:
		f.lost = true
	default:
		single := h[4]>>5&1 == 1
		size := 5 + [...]int{0, 1, 2, 4}[h[4]&3] + [...]int{0, 2, 4, 8}[h[4]>>6]
		if !single {
			size++ // the window
		} else if h[4]>>6 == 0 {
			size++ // the content's size
		}
		if len(h) == size {
			f.checked = h[4]>>2&1 == 1
			if !f.checked {
				f.unchecked++
			}
			f.inside, f.head = true, h[:0]
		}
	}
}

// block reads the header of a block, or, behind the last one, ends the frame.
func (f *frames) block() {
	h := f.head
	if len(h) < 3 {
		return
	}
	v := uint32(h[0]) | uint32(h[1])<<8 | uint32(h[2])<<16
	f.skip, f.head = uint64(v>>3), h[:0]
	if v>>1&3 == 1 { // one byte, repeated
		f.skip = 1
	}
	if v&1 == 1 {
		f.inside = false
		if f.checked {
			f.skip += 4
		}
	}
}
