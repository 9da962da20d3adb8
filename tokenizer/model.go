package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"criticrm/strictjson"
)

// modelFile is the "model" object of tokenizer.json before it is checked.
type modelFile struct {
	unigram      bool // a list of tokens with scores, not merges
	vocab        map[string]int32
	scores       []float64 // by id, of unigram
	merges       [][2]string
	ignoreMerges bool
	byteFallback bool   // what has no token is spelled in tokens as <0x61>
	unk          string // "": what has no token is left out
	unkID        int32  // of unigram; -1: none
	fuseUnk      bool   // neighbours without a token are one unk
}

// readModel reads the "model" object.
func readModel(r *strictjson.Reader) (*modelFile, error) {
	m := &modelFile{unkID: -1}
	typ := "" // files of old versions have none
	err := r.Object(func(key string) (err error) {
		switch key {
		case "type":
			typ, err = r.String()
			if err == nil && typ != "BPE" && typ != "Unigram" {
				err = fmt.Errorf("model type %q is not supported, want BPE or Unigram", clip(typ))
			}
		case "vocab":
			if m.unigram = r.Kind() == "array"; m.unigram {
				err = m.readScores(r)
			} else {
				m.vocab, err = readVocab(r)
			}
		case "merges":
			m.merges, err = readMerges(r)
		case "ignore_merges":
			m.ignoreMerges, err = r.Bool()
		case "byte_fallback":
			m.byteFallback, err = r.Bool()
		case "unk_token":
			if r.Kind() == "null" {
				return r.Skip()
			}
			m.unk, err = r.String()
		case "unk_id":
			if r.Kind() == "null" {
				return r.Skip()
			}
			m.unkID, err = readID(r)
		case "fuse_unk":
			m.fuseUnk, err = r.Bool()
		default:
			var v any
			v, err = r.Value()
			n, _ := v.(json.Number)
			x, notNumber := n.Float64()
			if off := v == nil || v == false || v == "" || notNumber == nil && x == 0; err == nil && !off {
				err = fmt.Errorf("model: %s is not supported", clip(key))
			}
		}
		return err
	})
	switch {
	case err != nil || m.vocab == nil: // reported as missing
	case typ != "" && (typ == "Unigram") != m.unigram:
		err = fmt.Errorf("model type %s has the vocabulary of another: want an object for BPE, an array for Unigram", typ)
	case m.unigram && (m.merges != nil || m.unk != "" || m.ignoreMerges || m.fuseUnk):
		err = errors.New("model type Unigram with merges, unk_token, ignore_merges or fuse_unk is not supported")
	case !m.unigram && m.unkID >= 0:
		err = errors.New("model type BPE with unk_id is not supported: want unk_token")
	}
	return m, err
}

// readID reads a token's id.
func readID(r *strictjson.Reader) (int32, error) {
	lit, err := r.Number()
	if err != nil {
		return 0, err
	}
	id, err := strconv.ParseInt(string(lit), 10, 64)
	switch {
	case err != nil:
		return 0, fmt.Errorf("got %s, want an integer", clip(string(lit)))
	case id < 0 || id >= maxVocab:
		return 0, fmt.Errorf("id %d, want 0 to %d", id, maxVocab-1)
	}
	return int32(id), nil
}

func readVocab(r *strictjson.Reader) (map[string]int32, error) {
	vocab := map[string]int32{}
	err := r.Entries(func(token string) error {
		if err := checkToken(token, len(vocab)); err != nil {
			return err
		}
		if _, twice := vocab[token]; twice {
			return fmt.Errorf("token %q appears twice", clip(token))
		}
		id, err := readID(r)
		if err != nil {
			return fmt.Errorf("token %q: %w", clip(token), err)
		}
		vocab[token] = id
		return nil
	})
	return vocab, err
}

// checkToken looks at a token's text, and whether there is room for it behind so many.
func checkToken(token string, before int) error {
	switch {
	case before >= maxVocab:
		return fmt.Errorf("vocabulary has more than %d tokens", maxVocab)
	case token == "":
		return errors.New("a token is empty")
	case len(token) > maxToken:
		return fmt.Errorf("token %q has %d bytes, limit %d", clip(token), len(token), maxToken)
	}
	return nil
}

// readScores reads the vocabulary of a Unigram model: pairs ["a", -1.5], whose place is the id.
func (m *modelFile) readScores(r *strictjson.Reader) error {
	m.vocab = map[string]int32{}
	return r.Array(func(i int) error {
		token, n := "", 0
		err := r.Array(func(k int) (err error) {
			switch n++; k {
			case 0:
				if token, err = r.String(); err == nil {
					err = checkToken(token, i)
				}
			case 1:
				var lit json.Number
				if lit, err = r.Number(); err == nil {
					m.scores = append(m.scores, serdeFloat(string(lit)))
				}
			default:
				err = errors.New("more than a token and a score")
			}
			return err
		})
		if err == nil && n < 2 {
			err = errors.New("want a token and a score")
		}
		if _, twice := m.vocab[token]; err == nil && twice {
			err = fmt.Errorf("token %q appears twice", clip(token))
		}
		if err != nil {
			return fmt.Errorf("vocab[%d]: %w", i, err)
		}
		m.vocab[token] = int32(i)
		return nil
	})
}

// serdeFloat reads a JSON number as the Hugging Face library's parser does: digits as a whole number of 64 bits, divided by a power of
// ten. That may be off by a bit from the nearest float64, and so decides between paths whose scores are equal but for that.
func serdeFloat(lit string) float64 {
	lit, negative := strings.CutPrefix(lit, "-")
	digits, exp, _ := strings.Cut(strings.ToLower(lit), "e")
	whole, decimals, _ := strings.Cut(digits, ".")
	var significand uint64
	exponent, full := 0, false
	for i, c := range []byte(whole + decimals) {
		const most = math.MaxUint64
		d := uint64(c - '0')
		if full = full || significand > most/10 || significand == most/10 && d > most%10; !full {
			significand = significand*10 + d
		}
		switch inWhole := i < len(whole); {
		case full && inWhole:
			exponent++
		case !full && !inWhole:
			exponent--
		}
	}
	e, _ := strconv.Atoi(exp) // a number that strictjson has read
	exponent += e
	f := float64(significand)
	for ; exponent < -308 && f != 0; exponent += 308 {
		f /= 1e308
	}
	ten, _ := strconv.ParseFloat(fmt.Sprintf("1e%d", min(max(exponent, -exponent), 308)), 64)
	if exponent < 0 {
		f /= ten
	} else {
		f *= ten
	}
	if negative {
		f = -f
	}
	return f
}

// readMerges reads pairs ["a", "b"] or, as older files have them, strings "a b".
func readMerges(r *strictjson.Reader) ([][2]string, error) {
	var merges [][2]string
	err := r.Array(func(i int) error {
		if i >= maxMerges {
			return fmt.Errorf("more than %d merges", maxMerges)
		}
		var p [2]string
		if r.Kind() == "string" {
			s, err := r.String()
			if err != nil {
				return err
			}
			var ok bool
			if p[0], p[1], ok = strings.Cut(s, " "); !ok || strings.Contains(p[1], " ") {
				return fmt.Errorf("merges[%d]: %q is not two tokens with a space between", i, clip(s))
			}
			merges = append(merges, p)
			return nil
		}
		n := 0
		err := r.Array(func(k int) (err error) {
			n++
			if k > 1 {
				return fmt.Errorf("merges[%d]: more than two tokens", i)
			}
			p[k], err = r.String()
			return err
		})
		if err == nil && n != 2 {
			err = fmt.Errorf("merges[%d]: %d tokens, want two", i, n)
		}
		merges = append(merges, p)
		return err
	})
	return merges, err
}
