package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/huff0"
	"github.com/klauspost/compress/zstd"
)

// A zstd frame without match search (RFC 8878). The planes of tensors have skewed bytes but no repeats: searching for
// repeats finds none and costs everything, and the usual encoders then store such bytes as they are. So each block is
// one of
//
//	RLE         all bytes equal: 4 bytes for up to 128 KiB
//	compressed  Huffman-coded literals and zero sequences, if that saves 1/32 or more
//	raw         everything else
//
// Any zstd decoder reads it. The window is 128 KiB (a single-segment frame would make the window as large as the
// content, which decoders refuse beyond 8 or 128 MiB); content size and checksum are always there.

const (
	zstdMagic  = 0xFD2FB528
	frameFlags = 0xC4      // 8-byte content size, checksum, no dictionary, not single-segment
	frameWin   = 7 << 3    // window of 2^(10+7) bytes
	blockMax   = 128 << 10 // bytes of a block, no more than the window
	huffMin    = 64        // bytes below which a Huffman table cannot pay
)

const (
	blockRaw = iota
	blockRLE
	blockCompressed
)

// encodeFrame appends the frame of raw to dst. cuts are ascending offsets where a new block begins besides every 128
// KiB: where planes of other statistics begin.
func encodeFrame(dst, raw []byte, cuts []int) []byte {
	s := &huff0.Scratch{Reuse: huff0.ReusePolicyNone, WantLogLess: 5}
	dst = binary.LittleEndian.AppendUint32(dst, zstdMagic)
	dst = append(dst, frameFlags, frameWin)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(raw)))
	for at := 0; ; {
		end := min(at+blockMax, len(raw))
		for len(cuts) > 0 && cuts[0] <= at {
			cuts = cuts[1:]
		}
		if len(cuts) > 0 {
			end = min(end, cuts[0])
		}
		last := end == len(raw)
		dst = encodeBlock(dst, raw[at:end], last, s)
		if at = end; last { // an empty frame still has one last block, raw and empty
			break
		}
	}
	return binary.LittleEndian.AppendUint32(dst, uint32(xxhash.Sum64(raw)))
}

// frameMax is the most bytes that a frame of so many raw ones has, cut in so many places.
func frameMax(raw, cuts int) int { return raw + 3*(raw/blockMax+cuts+1) + 18 }

func encodeBlock(dst, block []byte, last bool, s *huff0.Scratch) []byte {
	// The same test inside huff0 counts bytes first, at a third of the speed; this one ends at the first difference.
	if len(block) > 1 && bytes.Equal(block[1:], block[:len(block)-1]) {
		return append(blockHeader(dst, len(block), blockRLE, last), block[0])
	}
	if len(block) >= huffMin && !noise(block) {
		out, _, err := huff0.Compress4X(block, s)
		if err == nil && len(out)+6 < len(block) {
			dst = blockHeader(dst, len(out)+6, blockCompressed, last)
			// Literals_Section_Header: type 2 (compressed), size format 3 (4 streams, two 18-bit sizes), 5 bytes.
			head := 2 | 3<<2 | uint64(len(block))<<4 | uint64(len(out))<<22
			dst = append(dst, byte(head), byte(head>>8), byte(head>>16), byte(head>>24), byte(head>>32))
			dst = append(dst, out...)
			return append(dst, 0) // Number_of_Sequences: none
		}
	}
	return append(blockHeader(dst, len(block), blockRaw, last), block...)
}

// noise says whether a sample of a block's bytes is spread evenly, as those of mantissas are: a Huffman table that saves 1/32 has probabilities
// whose squares add up to 1/215 or more, even ones to 1/256. The limit between is 8 standard
// deviations from the even sample's sum in a whole block, 4 in the smallest that is looked at.
func noise(block []byte) bool {
	const step, enough = 64, 1024
	n := len(block) / step
	if n < enough {
		return false
	}
	var count [256]int
	for i := 0; i < len(block); i += step {
		count[block[i]]++
	}
	pairs := 0 // of equal samples
	for _, c := range count {
		pairs += c * (c - 1)
	}
	return pairs < n*(n-1)/235
}

func blockHeader(dst []byte, size, kind int, last bool) []byte {
	h := uint32(size)<<3 | uint32(kind)<<1
	if last {
		h |= 1
	}
	return append(dst, byte(h), byte(h>>8), byte(h>>16))
}

// checkFrame refuses what a decoder would accept and we never write: another content size than the declared one, no
// checksum, a large window, a dictionary, a second frame, bytes behind the frame. It costs a step per block.
func checkFrame(b []byte, raw int64) error {
	var h zstd.Header
	if err := h.Decode(b); err != nil {
		return fmt.Errorf("not a zstd frame: %w", err)
	}
	switch {
	case h.Skippable:
		return errors.New("zstd frame is skippable, want data")
	case h.DictionaryID != 0:
		return errors.New("zstd frame needs a dictionary")
	case !h.HasCheckSum:
		return errors.New("zstd frame has no checksum")
	case !h.HasFCS || h.FrameContentSize != uint64(raw):
		return fmt.Errorf("zstd frame does not hold the %d bytes of the manifest", raw)
	case h.WindowSize > maxWindow:
		return fmt.Errorf("zstd frame needs a window of %d bytes, limit %d", h.WindowSize, maxWindow)
	}
	at, left := h.HeaderSize, raw
	for last := false; !last; {
		if at+3 > len(b) {
			return errors.New("zstd frame is cut off")
		}
		head := uint32(b[at]) | uint32(b[at+1])<<8 | uint32(b[at+2])<<16
		size, kind := int(head>>3), head>>1&3
		last = head&1 != 0
		switch at += 3; kind {
		case blockRLE:
			left -= int64(size)
			at++
		case blockRaw:
			left -= int64(size)
			at += size
		default:
			at += size
		}
		if left < 0 {
			return errors.New("zstd frame holds more than it declares")
		}
	}
	if at+4 != len(b) {
		return fmt.Errorf("zstd frame ends at byte %d of %d", at+4, len(b))
	}
	return nil
}

// newDecoder gives a decoder for frames of at most raw bytes. Its memory limit covers the window too, and the output
// cannot pass the declared size in any case.
func newDecoder(raw int64) (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(uint64(max(raw, maxWindow))))
}

// decodeFrame gives the raw bytes of one frame, in memory of their length that is asked for.
func decodeFrame(b []byte, raw int64, memory func(n int) []byte) ([]byte, error) {
	if raw < 0 || raw > maxFileRaw {
		return nil, fmt.Errorf("raw size %d, limit %d", raw, maxFileRaw)
	}
	if err := checkFrame(b, raw); err != nil {
		return nil, err
	}
	d, err := newDecoder(raw)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	out, err := d.DecodeAll(b, memory(int(raw))[:0:raw])
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if int64(len(out)) != raw {
		return nil, fmt.Errorf("zstd frame gave %d bytes, want %d", len(out), raw)
	}
	return out, nil
}
