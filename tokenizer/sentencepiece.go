package tokenizer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// spm is what is read of a SentencePiece model: a protobuf message as sentencepiece_model.proto describes it.
type spm struct {
	pieces       []spmPiece
	modelType    uint64
	byteFallback bool
	unkID        int64
	bosID, eosID int64
	unk          string
	bos, eos     string
	suffix       bool // treat_whitespace_as_suffix
	charsmap     []byte
	dummyPrefix  bool
	trims        bool // remove_extra_whitespaces
	escapes      bool // escape_whitespaces
}

type spmPiece struct {
	text  string
	score float32
	kind  uint64
}

// Numbers of sentencepiece_model.proto.
const (
	spmUnigram, spmBPE                             = 1, 2
	spmNormal, spmUnknown, spmControl, spmUserWord = 1, 2, 3, 4
)

// readSPM reads a SentencePiece model.
func readSPM(b []byte) (*spm, error) {
	m := &spm{modelType: spmUnigram, bosID: 1, eosID: 2, unk: "<unk>", bos: "<s>", eos: "</s>", dummyPrefix: true, trims: true, escapes: true}
	err := fields(b, func(n int, f field) error {
		switch n {
		case 1:
			if len(m.pieces) >= maxVocab {
				return fmt.Errorf("more than %d pieces", maxVocab)
			}
			p := spmPiece{kind: spmNormal}
			err := fields(f.bytes, func(n int, f field) error {
				switch n {
				case 1:
					p.text = string(f.bytes)
				case 2:
					p.score = math.Float32frombits(uint32(f.number))
				case 3:
					p.kind = f.number
				}
				return nil
			})
			switch {
			case err != nil:
				return fmt.Errorf("piece %d: %w", len(m.pieces), err)
			case !utf8.ValidString(p.text):
				return fmt.Errorf("piece %d: not valid UTF-8", len(m.pieces))
			case math.IsNaN(float64(p.score)) || math.IsInf(float64(p.score), 0):
				return fmt.Errorf("piece %d: its score is no number", len(m.pieces))
			}
			m.pieces = append(m.pieces, p)
		case 2:
			return m.readTrainer(f.bytes)
		case 3:
			return m.readNormalizer(f.bytes)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(m.pieces) == 0:
		return nil, errors.New("it has no pieces")
	case m.modelType != spmUnigram && m.modelType != spmBPE:
		return nil, fmt.Errorf("model type %d is not supported, want 1 (Unigram) or 2 (BPE)", m.modelType)
	case m.suffix:
		return nil, errors.New("treat_whitespace_as_suffix is not supported")
	case m.unkID < 0 || m.unkID >= int64(len(m.pieces)):
		return nil, fmt.Errorf("unk_id %d, but it has %d pieces", m.unkID, len(m.pieces))
	}
	return m, nil
}

func (m *spm) readTrainer(b []byte) error {
	return fields(b, func(n int, f field) error {
		switch n {
		case 3:
			m.modelType = f.number
		case 24:
			m.suffix = f.number != 0
		case 35:
			m.byteFallback = f.number != 0
		case 40:
			m.unkID = int64(int32(f.number))
		case 41:
			m.bosID = int64(int32(f.number))
		case 42:
			m.eosID = int64(int32(f.number))
		case 45:
			m.unk = string(f.bytes)
		case 46:
			m.bos = string(f.bytes)
		case 47:
			m.eos = string(f.bytes)
		}
		return nil
	})
}

func (m *spm) readNormalizer(b []byte) error {
	return fields(b, func(n int, f field) error {
		switch n {
		case 2:
			m.charsmap = f.bytes
		case 3:
			m.dummyPrefix = f.number != 0
		case 4:
			m.trims = f.number != 0
		case 5:
			m.escapes = f.number != 0
		}
		return nil
	})
}

// field is the value of a field of a protobuf message: a number, or bytes.
type field struct {
	number uint64
	bytes  []byte
}

var errProto = errors.New("not a SentencePiece model, or cut short")

// fields calls each with the fields of a protobuf message. (https://protobuf.dev/programming-guides/encoding)
func fields(b []byte, each func(n int, f field) error) error {
	for len(b) > 0 {
		tag, size := binary.Uvarint(b)
		if size <= 0 || tag>>3 == 0 || tag>>3 > 1<<29-1 {
			return errProto
		}
		b = b[size:]
		var f field
		switch tag & 7 {
		case 0:
			if f.number, size = binary.Uvarint(b); size <= 0 {
				return errProto
			}
			b = b[size:]
		case 1:
			if len(b) < 8 {
				return errProto
			}
			f.number, b = binary.LittleEndian.Uint64(b), b[8:]
		case 2:
			n, size := binary.Uvarint(b)
			if size <= 0 || n > uint64(len(b)-size) {
				return errProto
			}
			f.bytes, b = b[size:size+int(n)], b[size+int(n):]
		case 5:
			if len(b) < 4 {
				return errProto
			}
			f.number, b = uint64(binary.LittleEndian.Uint32(b)), b[4:]
		default:
			return errProto
		}
		if err := each(int(tag>>3), f); err != nil {
			return err
		}
	}
	return nil
}
