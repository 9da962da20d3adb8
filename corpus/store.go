package corpus

// What an Index keeps of prompts and rows: the last of them in memory, those before in temporary files.

import (
	"encoding/binary"
	"errors"
	"io"
	"iter"

	"criticrm/safefile"
)

// limits are what is kept in memory, in numbers of what stands there.
type limits struct {
	block   int // prompts with their bands
	cached  int // fingerprints that new prompts are looked up in
	rows    int // of files
	numbers int // of an array by prompts or rows
	sorted  int // values of a sorter
}

// inMemory are some MiB of each.
var inMemory = limits{block: 1 << 15, cached: 1 << 17, rows: 1 << 20, numbers: 1 << 20, sorted: 1 << 18}

// prompt is one of an Index.
type prompt struct {
	at     int64  // of its normal text in the temporary file
	print  uint64 // its fingerprint
	length int32
	file   int32 // where it stood first
	line   int32
	part   int32 // of Index.parts: which file of an input of several
}

// promptSize is a prompt's in a file, bytes.
const promptSize = 32

func (p *prompt) put(b []byte) {
	binary.LittleEndian.PutUint64(b, uint64(p.at))
	binary.LittleEndian.PutUint64(b[8:], p.print)
	for i, v := range [...]int32{p.length, p.file, p.line, p.part} {
		binary.LittleEndian.PutUint32(b[16+4*i:], uint32(v))
	}
}

func (p *prompt) get(b []byte) {
	p.at, p.print = int64(binary.LittleEndian.Uint64(b)), binary.LittleEndian.Uint64(b[8:])
	for i, v := range [...]*int32{&p.length, &p.file, &p.line, &p.part} {
		*v = int32(binary.LittleEndian.Uint32(b[16+4*i:]))
	}
}

// store keeps prompts in blocks of equal length, in each first the prompts and then band by band, and the rows of files one behind the other.
type store struct {
	limits
	texts   *safefile.Scratch
	prompts []prompt        // of the last block
	bands   [bands][]uint32 // likewise
	full    int             // blocks in the file
	blocks  *safefile.Scratch

	rows    [][]int32  // prompts of each file's rows, the last of them
	held    int        // of rows, in memory
	spilled [][2]int64 // where those before lie in the file
	log     *safefile.Scratch
}

// count is how many prompts there are.
func (s *store) count() int { return s.full*s.block + len(s.prompts) }

// put adds a prompt.
func (s *store) put(p prompt, signature *[bands]uint32, text string) error {
	if len(s.prompts) == s.block {
		if err := s.spillBlock(); err != nil {
			return err
		}
	}
	p.at, p.length = s.texts.Size(), int32(len(text))
	s.prompts = append(s.prompts, p)
	for i, h := range signature {
		s.bands[i] = append(s.bands[i], h)
	}
	_, err := io.WriteString(s.texts, text)
	return err
}

func (s *store) spillBlock() (err error) {
	if s.blocks == nil {
		if s.blocks, err = safefile.NewScratch("the sketches of prompts, to find the ones that are alike"); err != nil {
			return err
		}
	}
	var b [promptSize]byte
	for i := range s.prompts {
		s.prompts[i].put(b[:])
		if _, err := s.blocks.Write(b[:]); err != nil {
			return err
		}
	}
	for i, list := range s.bands {
		if err := writeNumbers(s.blocks, list); err != nil {
			return err
		}
		s.bands[i] = list[:0]
	}
	s.prompts = s.prompts[:0]
	s.full++
	return nil
}

// row adds a row of the last file.
func (s *store) row(id int32) (err error) {
	if s.held == s.limits.rows {
		if s.log == nil {
			if s.log, err = safefile.NewScratch("the numbers of rows' prompts"); err != nil {
				return err
			}
		}
		for file, list := range s.rows { // those of a file follow each other, since only the last file gets more
			if len(list) == 0 {
				continue
			}
			at := &s.spilled[file]
			if at[1] == 0 {
				at[0] = s.log.Size()
			}
			if err := writeNumbers(s.log, list); err != nil {
				return err
			}
			at[1] = s.log.Size()
			s.rows[file] = nil
		}
		s.held = 0
	}
	last := len(s.rows) - 1
	s.rows[last] = append(s.rows[last], id)
	s.held++
	return nil
}

// flush makes what was added readable.
func (s *store) flush() error {
	err := s.texts.Flush()
	for _, f := range []*safefile.Scratch{s.blocks, s.log} {
		if f != nil {
			err = errors.Join(err, f.Flush())
		}
	}
	return err
}

func (s *store) close() (err error) {
	for _, f := range []*safefile.Scratch{s.texts, s.blocks, s.log} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// blockSize is a full one's, bytes.
func (s *store) blockSize() int64 { return int64(s.block) * (promptSize + 4*bands) }

// prompt reads one by its number.
func (s *store) prompt(id int32) (p prompt, err error) {
	block, at := int(id)/s.block, int(id)%s.block
	if block == s.full {
		return s.prompts[at], nil
	}
	var b [promptSize]byte
	if _, err := s.blocks.ReadAt(b[:], int64(block)*s.blockSize()+int64(at)*promptSize); err != nil {
		return p, err
	}
	p.get(b[:])
	return p, nil
}

// text reads a prompt's normal text.
func (s *store) text(id int32) (string, error) {
	p, err := s.prompt(id)
	if err != nil {
		return "", err
	}
	b := make([]byte, p.length)
	if _, err := s.texts.ReadAt(b, p.at); err != nil {
		return "", err
	}
	return string(b), nil
}

// fingerprints gives those of all prompts in their order.
func (s *store) fingerprints() iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		b := make([]byte, promptSize*s.block)
		for block := range s.full {
			if _, err := s.blocks.ReadAt(b, int64(block)*s.blockSize()); err != nil {
				yield(0, err)
				return
			}
			for i := range s.block {
				if !yield(binary.LittleEndian.Uint64(b[promptSize*i+8:]), nil) {
					return
				}
			}
		}
		for i := range s.prompts {
			if !yield(s.prompts[i].print, nil) {
				return
			}
		}
	}
}

// column gives a band of all prompts, some at a time: that of number first and of those behind it.
func (s *store) column(band int, do func(first int32, keys []uint32) error) error {
	keys, b := make([]uint32, 0, s.block), make([]byte, 4*s.block)
	for block := range s.full {
		at := int64(block)*s.blockSize() + int64(s.block)*int64(promptSize+4*band)
		if _, err := s.blocks.ReadAt(b, at); err != nil {
			return err
		}
		keys = readNumbers(keys[:0], b)
		if err := do(int32(block*s.block), keys); err != nil {
			return err
		}
	}
	return do(int32(s.full*s.block), s.bands[band])
}

// rowsOf gives the prompts of a file's rows in their order.
func (s *store) rowsOf(file int) iter.Seq2[int32, error] {
	return func(yield func(int32, error) bool) {
		var list []int32
		var b [1 << 16]byte
		for at, to := s.spilled[file][0], s.spilled[file][1]; at < to; {
			part := b[:min(int64(len(b)), to-at)]
			if _, err := s.log.ReadAt(part, at); err != nil {
				yield(0, err)
				return
			}
			list = readNumbers(list[:0], part)
			for _, id := range list {
				if !yield(id, nil) {
					return
				}
			}
			at += int64(len(part))
		}
		for _, id := range s.rows[file] {
			if !yield(id, nil) {
				return
			}
		}
	}
}

func writeNumbers[T int32 | uint32](to io.Writer, list []T) error {
	var b [4]byte
	for _, v := range list {
		binary.LittleEndian.PutUint32(b[:], uint32(v))
		if _, err := to.Write(b[:]); err != nil {
			return err
		}
	}
	return nil
}

func readNumbers[T int32 | uint32](list []T, b []byte) []T {
	for i := 0; i < len(b); i += 4 {
		list = append(list, T(binary.LittleEndian.Uint32(b[i:])))
	}
	return list
}
