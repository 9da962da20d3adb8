package record

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// Frames are told apart whatever their sizes, blocks and headers, and however they are read.
func TestFrames(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	for range 200 {
		var file bytes.Buffer
		unchecked, skippable := 0, 0
		for range r.IntN(5) {
			if r.IntN(4) == 0 {
				n := r.IntN(700)
				file.Write([]byte{0x50 + byte(r.IntN(16)), 0x2a, 0x4d, 0x18, byte(n), byte(n >> 8), 0, 0})
				file.Write(bytes.Repeat([]byte{0x28}, n))
				skippable++
				continue
			}
			crc := r.IntN(2) == 0
			w, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(crc), zstd.WithSingleSegment(r.IntN(2) == 0), zstd.WithWindowSize(1<<(10+r.IntN(8))), zstd.WithZeroFrames(true))
			if err != nil {
				t.Fatal(err)
			}
			content := make([]byte, []int{0, 1, 200, 300, 70000, 400000}[r.IntN(6)])
			if !crc || len(content) == 0 { // the encoder gives an empty frame none
				unchecked++
			}
			if r.IntN(2) == 0 {
				for i := range content {
					content[i] = byte(r.Uint32())
				}
			}
			file.Write(w.EncodeAll(content, nil))
			w.Close()
		}
		f := &frames{in: bytes.NewReader(file.Bytes())}
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, f, make([]byte, 1+r.IntN(3000))); err != nil {
			t.Fatal(err)
		}
		if f.lost || f.inside || f.skip != 0 || len(f.head) != 0 || f.unchecked != unchecked || f.skippable != skippable {
			t.Fatalf("%+v, want %d without a checksum and %d skippable ones", f, unchecked, skippable)
		}
	}
}

// A file may begin with a frame without data.
func TestFrameWithoutData(t *testing.T) {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	file := append([]byte{0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}, w.EncodeAll([]byte(`{"prompt":"p","chosen":"a","rejected":"b"}`+"\n"), nil)...)
	in, err := NewReader(bytes.NewReader(file), "f.zst", ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := in.Next(); err != nil || r.Chosen != "a" {
		t.Error(r, err)
	}
	if _, err := in.Next(); err != io.EOF || len(in.Notes) != 1 {
		t.Error(err, in.Notes)
	}
}
