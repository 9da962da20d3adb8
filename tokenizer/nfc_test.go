package tokenizer

import (
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

var nfcRunes = []rune("aeo\u0301\u0323\u0308\u0345\u0344\u0f71\u0f72\u0f73\u0f80\u1100\u1161\u11a8가각\u212b\u0958\u093c\u0915ạ̈\ufb1d\u2adc日\u3099か\U0001d15e\U0001d165")

// The segment-wise form against x/text where that one inserts nothing.
func TestNFC(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 5))
	for range 50_000 {
		s := make([]rune, r.IntN(14))
		for i := range s {
			s[i] = nfcRunes[r.IntN(len(nfcRunes))]
		}
		text := string(s)
		want := norm.NFC.String(text)
		if strings.ContainsRune(want, 0x034F) {
			continue
		}
		if got := nfcString(text); got != want {
			t.Fatalf("nfcString(%+q) = %+q, want %+q", text, got, want)
		}
		if got := string(appendLongNFC(nil, text)); got != want {
			t.Fatalf("appendLongNFC(%+q) = %+q, want %+q", text, got, want)
		}
	}
}

// A regression guard: x/text puts U+034F after every 30 marks, Rust's and Python's NFC do not.
func TestNFCManyMarks(t *testing.T) {
	got := nfcString("xe" + strings.Repeat("\u0301\u0323", 500) + "é\u0301")
	want := "x" + "ẹ" + strings.Repeat("\u0323", 499) + strings.Repeat("\u0301", 500) + "é\u0301"
	if got != want {
		t.Errorf("got %+q", got)
	}
	if s := "e\xff\u0301\xfe"; nfcString(s) != s {
		t.Errorf("bytes that are not UTF-8: %q", nfcString(s))
	}
}
